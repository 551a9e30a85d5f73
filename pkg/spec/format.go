package spec

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// format is a form of text, named by the format and keys tags.
type format struct {
	wants   string                     // what it is, with an example: "a path such as /srv/web"
	pattern string                     // what it must match, in the syntax that Go and JSON Schema share
	words   []string                   // or the only words allowed
	longest int                        // bytes; 0 for 4096
	lines   bool                       // whether it may have line breaks, tabs and escapes
	check   func(s string) error       // what a pattern cannot say
	hint    func(s string) string      // what helps when the pattern does not match
	match   func() (re *regexp.Regexp) // pattern, compiled once
}

// Bounds of Linux on texts.
const (
	pathMax   = 4095   // PATH_MAX without the NUL, limits.h
	stringMax = 131071 // MAX_ARG_STRLEN without the NUL, execve(2)
	uidMax    = 1<<32 - 2
)

const (
	namePattern    = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	accountPattern = `([A-Za-z0-9_][A-Za-z0-9_.-]*[$]?)`
)

// optionFormat is the format of mount options, which agreeMounts checks by the type of the mount.
const optionFormat = "option"

var formats = sync.OnceValue(func() map[string]format {
	table := map[string]format{
		"apiVersion": {wants: "an apiVersion", words: []string{APIVersion}},
		"kind":       {wants: "a kind", words: []string{KindContainer}},
		"name":       {wants: "a name: at most 63 of a-z, 0-9 and - between letters or digits", pattern: namePattern, longest: 4096, hint: nameHint},
		"labelKey": {
			wants:   "a key such as app or example.com/app",
			pattern: `^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`,
		},
		"labelValue": {wants: "a label: at most 63 of letters, digits, _, . and -", pattern: `^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`},
		"note":       {wants: "a text", longest: 256 << 10, lines: true},
		"path":       {wants: "an absolute path such as /srv/web", pattern: `^/`, longest: pathMax, check: checkPath},
		"inside":     {wants: "an absolute path inside the container such as /data", pattern: `^/`, longest: pathMax, check: checkDestination},
		"hidden":     {wants: "an absolute path inside the container such as /proc/keys", pattern: `^/.`, longest: pathMax, check: checkPath},
		"argument":   {wants: "a text", longest: stringMax, lines: true},
		"envName":    {wants: "a variable name: not empty, without =", pattern: `^[^=]+$`, longest: stringMax},
		"user":       {wants: "a user such as daemon, 1000 or 1000:1000", pattern: `^` + accountPattern + `(:` + accountPattern + `)?$`, longest: 513, check: checkUser},
		"group":      {wants: "a group such as audio or 1000", pattern: `^` + accountPattern + `$`, longest: 256, check: checkUser},
		"umask":      {wants: `an octal mask such as "0022"`, pattern: `^0?[0-7]{1,3}$`},
		"hostname":   {wants: "a host name: at most 64 of letters, digits, - and .", pattern: `^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`, longest: 64},
		"mountType":  {wants: "a type of mount", words: MountTypes},
		optionFormat: {wants: "a mount option", longest: 256},
		"capability": {wants: "a capability", words: append(slices.Clone(CapabilityNames), CapabilityAll), hint: capabilityHint},
		"signal":     {wants: "a signal", words: stopSignals(), hint: signalHint},
		"sysctl":     {wants: "a kernel parameter such as net.ipv4.ip_forward", pattern: `^[a-z0-9_-]+([.][A-Za-z0-9_:@-]+)+$`, check: checkSysctl, hint: sysctlHint},
		"sysctlText": {wants: "the text of a kernel parameter", pattern: `^.+$`, longest: 4095},
		"rlimit":     {wants: "a resource limit", words: RlimitNames, hint: rlimitHint},
		"cpuList":    {wants: `a list such as "0-3,8"`, pattern: `^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`, check: checkList},
	}
	for name, f := range table {
		f.match = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(f.pattern) })
		table[name] = f
	}
	return table
})

// ValidName tells why a text cannot be a container's name, nil if it can.
func ValidName(name string) error { return checkFormat("name", name) }

// checkFormat tells why a text does not have a format; the format "" takes every text.
func checkFormat(name, s string) error {
	f, ok := formats()[name]
	switch longest := f.limit(); {
	case !ok:
		return nil
	case f.words != nil:
		return checkWord(s, f.words, strings.TrimPrefix(strings.TrimPrefix(f.wants, "a "), "an "), f.hint)
	case len(s) > longest:
		return faultf("has %d bytes, more than %d", len(s), longest)
	}
	if i := strings.IndexFunc(s, f.refuses); i >= 0 {
		r := []rune(s[i:])[0]
		return faultf("%s has the control character %U", quote(s), r)
	}
	if f.pattern != "" && !f.match().MatchString(s) {
		return fault{quote(s) + " is not " + f.wants, call(f.hint, s)}
	}
	if f.check != nil {
		return f.check(s)
	}
	return nil
}

func (f format) limit() int {
	if f.longest == 0 {
		return 4096
	}
	return f.longest
}

// refuses tells the characters a text must not have: no kernel interface takes NUL, and other control characters hide what a text says.
func (f format) refuses(r rune) bool {
	if f.lines {
		return r == 0
	}
	return unicode.IsControl(r)
}

// checkWord tells whether a text is one of the words.
func checkWord(s string, words []string, noun string, hints ...func(string) string) error {
	if slices.Contains(words, s) {
		return nil
	}
	message := "unknown " + noun + " " + quote(s)
	if noun == "" {
		message = quote(s) + " is not one of " + strings.Join(words, ", ")
	}
	for _, hint := range hints {
		if h := call(hint, s); h != "" {
			return fault{message, h}
		}
	}
	if near := didYouMean(s, words); near != "" {
		return fault{message, near}
	}
	if len(words) == 1 {
		return fault{message, "it is " + words[0]}
	}
	if noun != "" && len(words) <= 16 {
		return fault{message, "it is one of " + strings.Join(words, ", ")}
	}
	return fault{message: message}
}

func call(hint func(string) string, s string) string {
	if hint == nil {
		return ""
	}
	return hint(s)
}

// nameHint is the name with what a name cannot have replaced.
func nameHint(s string) string {
	fixed := strings.Trim(regexp.MustCompile(`[^a-z0-9-]+`).ReplaceAllString(strings.ToLower(s), "-"), "-")
	if fixed == "" || len(fixed) > 63 {
		return ""
	}
	return "did you mean " + fixed + "?"
}

func checkPath(s string) error {
	if slices.Contains(strings.Split(s, "/"), "..") {
		return faultf("%s has .. in it", quote(s))
	}
	if clean := path.Clean(s); clean != s {
		return fault{quote(s) + " is not in its shortest form", "write " + quoteBare(clean)}
	}
	for part := range strings.SplitSeq(s, "/") {
		if len(part) > 255 {
			return faultf("%s has a name of more than 255 bytes", quote(s))
		}
	}
	return nil
}

func checkDestination(s string) error {
	if err := checkPath(s); err != nil {
		return err
	}
	switch {
	case s == "/":
		return fault{"cannot mount over /", "the container's / is spec.rootfs"}
	case s == "/proc" || strings.HasPrefix(s, "/proc/"):
		return fault{"cannot mount over " + quoteBare(s) + ": what reads /proc trusts the kernel to have written it", "use spec.security.maskedPaths to hide a file"}
	case s == "/sys" || strings.HasPrefix(s, "/sys/") && s != "/sys/fs/cgroup":
		return fault{"cannot mount over " + quoteBare(s) + ": what reads /sys trusts the kernel to have written it", "use spec.security.maskedPaths to hide a file"}
	}
	return nil
}

// checkUser checks the numbers of a user or group: -1 means "do not change" to the kernel, setresuid(2).
func checkUser(s string) error {
	for part := range strings.SplitSeq(s, ":") {
		if n, err := strconv.ParseUint(part, 10, 64); isDigits(part) && (err != nil || n > uidMax) {
			return faultf("%s is more than %d", quoteBare(part), uint64(uidMax))
		}
	}
	return nil
}

func capabilityHint(s string) string {
	bare, cut := strings.CutPrefix(strings.ToUpper(s), "CAP_")
	if (cut || bare != s) && (slices.Contains(CapabilityNames, bare) || bare == CapabilityAll) {
		return "write " + bare
	}
	return ""
}

// stopSignals are the signals a program can be asked to end by, in order of their numbers.
func stopSignals() []string {
	var names []string
	for name := range Signals {
		if name != "SIGSTOP" && name != "SIGCONT" && name != "SIGTSTP" && name != "SIGTTIN" && name != "SIGTTOU" && name != "SIGCHLD" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return Signals[a] - Signals[b] })
	return names
}

func signalHint(s string) string {
	if n, err := strconv.Atoi(s); err == nil {
		for name, number := range Signals {
			if n == number {
				return "write " + name
			}
		}
	}
	upper := strings.ToUpper(s)
	for _, name := range []string{upper, "SIG" + upper} {
		if _, ok := Signals[name]; ok && name != s {
			return "write " + name
		}
	}
	if _, ok := Signals[s]; ok {
		return "it asks no program to end"
	}
	return ""
}

func checkSysctl(s string) error {
	if slices.Contains(SysctlNames, s) || slices.ContainsFunc(SysctlPrefixes, func(p string) bool { return strings.HasPrefix(s, p) }) {
		return nil
	}
	f := fault{message: quote(s) + " is not a parameter of the container's own namespaces but of the whole node"}
	switch {
	case s == "kernel.hostname":
		f = fault{"the host name has a field of its own", "set spec.hostname"}
	case s == "kernel.domainname":
		f = fault{"the NIS domain name is not supported", "set spec.hostname to the full name"}
	case didYouMean(s, SysctlNames) != "":
		f.hint = didYouMean(s, SysctlNames)
	default:
		f.hint = "set it on the node with sysctl(8); a container's are net., fs.mqueue., kernel.msg*, kernel.shm* and kernel.sem"
	}
	return f
}

func sysctlHint(s string) string {
	if dotted := strings.ReplaceAll(s, "/", "."); dotted != s && !strings.Contains(s, "..") && !strings.HasPrefix(s, "/") {
		return "write " + quoteBare(dotted)
	}
	return ""
}

func rlimitHint(s string) string {
	bare := strings.TrimPrefix(strings.ToLower(s), "rlimit_")
	if bare != s && slices.Contains(RlimitNames, bare) {
		return "write " + bare
	}
	return ""
}

// checkList checks the ranges of a cpuset(7) list.
func checkList(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		low, errLow := strconv.ParseUint(first, 10, 16)
		high, errHigh := strconv.ParseUint(last, 10, 16)
		switch {
		case errLow != nil || errHigh != nil:
			return faultf("%s is more than %d", quoteBare(part), 1<<16-1)
		case low > high:
			return fault{quoteBare(part) + " runs backwards", fmt.Sprintf("did you mean %d-%d?", high, low)}
		}
	}
	return nil
}
