package spec

import (
	"slices"
	"strconv"
	"strings"
)

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
	if slices.Contains(SysctlNames, s) || strings.HasPrefix(s, SysctlUserPrefix) || slices.ContainsFunc(SysctlPrefixes, func(p string) bool { return strings.HasPrefix(s, p) }) {
		return nil
	}
	f := fault{message: quote(s) + " is not a parameter of the container's own namespaces but of the whole node"}
	switch {
	case s == "kernel.hostname":
		f = fault{"the host name has a field of its own", "set spec.hostname"}
	case s == "kernel.domainname":
		f = fault{"the NIS domain name has a field of its own", "set spec.domainname"}
	case didYouMean(s, SysctlNames) != "":
		f.hint = didYouMean(s, SysctlNames)
	default:
		f.hint = "set it on the node with sysctl(8); a container's are net., fs.mqueue., kernel.msg*, kernel.shm*, kernel.sem and user."
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

// prefixHint is the word without the prefix that the kernel's headers have.
func prefixHint(prefix string, words []string) func(string) string {
	return func(s string) string {
		if bare := strings.TrimPrefix(strings.ToUpper(s), prefix); bare != s && slices.Contains(words, bare) {
			return "write " + bare
		}
		return ""
	}
}
