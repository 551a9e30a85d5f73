package spec

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

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
		"kind":       {wants: "a kind", words: []string{KindContainer, KindGroup, KindJob, KindConfig}, hint: kindHint},
		"policyKind": {wants: "a kind", words: []string{KindPolicy}},
		"configKind": {wants: "a kind", words: []string{KindAgentConfig}},
		"setting":    {wants: "a text", longest: pathMax},
		"noPath":     {wants: `an absolute path such as /srv/web, or "" for none`, pattern: `^(/.*)?$`, longest: pathMax, check: checkNoPath},
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
		"namespace":  {wants: "Private, Host, container:NAME or the absolute path of a namespace file", pattern: `^(Private|Host|container:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|/.+)$`, longest: pathMax},
		"imageRef":   {wants: "an image such as web or web/20261126-203315123", pattern: `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(/[0-9]{8}-[0-9]{9})?$`, longest: 128},
		"cron":       {wants: "a time such as 0 2 * * 1-5 or @daily", longest: 256, check: checkCron},
		"timeZone":   {wants: "a zone such as Europe/Berlin or UTC", pattern: `^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`, longest: 64},
		"umask":      {wants: `an octal mask such as "0022"`, pattern: `^0?[0-7]{1,3}$`},
		"hostname":   {wants: "a host name: at most 64 of letters, digits, - and .", pattern: `^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`, longest: 64},
		"mountType":  {wants: "a type of mount", words: MountTypes, hint: mountTypeHint},
		optionFormat: {wants: "a mount option", longest: 256},
		"capability": {wants: "a capability", words: append(slices.Clone(CapabilityNames), CapabilityAll), hint: capabilityHint},
		"profile":    {wants: "the name of an AppArmor profile such as docker-default", pattern: `^[^ ](.*[^ ])?$`, longest: 1024},
		"selinuxLabel": {
			wants:   "a security context such as system_u:system_r:container_t:s0:c1,c2",
			pattern: `^[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+(:[A-Za-z0-9_.,:-]+)?$`,
		},
		"landlockScope":   {wants: "a scope", words: LandlockScopes},
		"schedulerFlag":   {wants: "a flag", words: SchedulerFlags, hint: prefixHint("SCHED_FLAG_", SchedulerFlags)},
		"memoryFlag":      {wants: "a flag", words: MemoryFlags, hint: prefixHint("MPOL_F_", MemoryFlags)},
		"personalityFlag": {wants: "a flag", words: slices.Sorted(maps.Keys(PersonalityFlags))},
		"signal":          {wants: "a signal", words: stopSignals(), hint: signalHint},
		"sysctlPattern":   {wants: "a kernel parameter such as net.ipv4.ip_forward, or net.ipv4.*", pattern: `^[a-z0-9_-]+([.][A-Za-z0-9_:@-]+)*([.][*])?$`},
		"sysctl":          {wants: "a kernel parameter such as net.ipv4.ip_forward", pattern: `^[a-z0-9_-]+([.][A-Za-z0-9_:@-]+)+$`, check: checkSysctl, hint: sysctlHint},
		"sysctlText":      {wants: "the text of a kernel parameter", pattern: `^.+$`, longest: 4095},
		"rlimit":          {wants: "a resource limit", words: RlimitNames, hint: rlimitHint},
		"cpuList":         {wants: `a list such as "0-3,8"`, pattern: `^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`, check: checkList},

		"syscall":      {wants: "the name of a system call such as openat2", pattern: `^[A-Za-z_][A-Za-z0-9_]*$`, longest: 64},
		"errno":        {wants: "the name of an error such as EPERM", pattern: `^(E[A-Z0-9]+|[0-9]{1,5})$`, longest: 32},
		"seccompPlace": {wants: "an architecture such as amd64, or a capability such as CAP_SYS_ADMIN", pattern: `^[A-Za-z0-9_]+$`, longest: 64},
		"release":      {wants: "a version of the kernel such as 4.8", pattern: `^[0-9]{1,5}[.][0-9]{1,5}$`},
		"disk":         {wants: "a disk such as /dev/vda or 254:0", pattern: `^(/.+|[0-9]{1,4}:[0-9]{1,7})$`, longest: pathMax, check: checkDisk},
		"hugePage":     {wants: "a size of huge pages such as 2MB", pattern: `^[1-9][0-9]*[KMG]B$`, longest: 32, hint: hugePageHint},
		"word":         {wants: "a name of letters, digits, _, . and -", pattern: `^[A-Za-z0-9_.-]+$`, longest: 255},
		"percent":      {wants: `a percentage such as "12.5", or max`, pattern: `^(max|100([.]0{1,2})?|[0-9]{1,2}([.][0-9]{1,2})?)$`},
		"cgroupFile":   {wants: "a file of a controller such as memory.swap.high", pattern: `^[a-z][a-z0-9_]*([.][A-Za-z0-9_-]+)+$`, longest: 255, check: checkCgroupFile},
		"cgroupText":   {wants: "the text of a kernel file", pattern: `^.`, longest: 4095, lines: true},
		"devicePath":   {wants: "an absolute path inside the container such as /dev/kvm", pattern: `^/.`, longest: pathMax, check: checkDevicePath},
		"deviceMode":   {wants: `an octal mode such as "0660"`, pattern: `^0?[0-7]{1,3}$`},
		"access":       {wants: "letters of r (read), w (write) and m (make a node)", pattern: `^[rwm]{1,3}$`, check: checkAccess},
	}
	maps.Copy(table, networkFormats)
	maps.Copy(table, probeFormats)
	maps.Copy(table, configFormats)
	for name, f := range table {
		f.match = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(f.pattern) })
		table[name] = f
	}
	return table
})

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

// checkNoPath checks a path that may be none.
func checkNoPath(s string) error {
	if s == "" {
		return nil
	}
	return checkPath(s)
}

// kindHint says what to do with a file that is no manifest.
func kindHint(s string) string {
	switch s {
	case KindAgentConfig:
		return "it is no manifest: reconciler config --check FILE"
	case KindPolicy:
		return "it is no manifest: reconciler validate --policy FILE MANIFESTS"
	}
	return foreignKinds[s]
}

func checkDestination(s string) error {
	if err := checkPath(s); err != nil {
		return err
	}
	if s == "/" {
		return fault{"cannot mount over /", "the container's / is spec.rootfs"}
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
