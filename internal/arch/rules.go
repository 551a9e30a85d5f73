package arch

import (
	"fmt"
	"slices"
	"strings"
)

// rule says which of our packages the packages below one path may import. The longest path that fits counts.
type rule struct {
	Package string   // below the module: pkg/spec stands for itself and what is below it
	May     []string // the same, "*" for anything of ours; its own packages are always allowed
	Reason  string
}

// rules are all of them. Standard and foreign packages are the matter of bans.
var rules = []rule{
	{"cmd", []string{"*"}, "wiring knows everything, and nothing knows wiring"},
	{"internal", []string{"*"}, "tests and generators may look at everything"},
	{"test", []string{"*"}, "what is held to others' programs may use everything"},
	{"internal/simnode", []string{"pkg/spec", "pkg/reconcile"}, "a node in memory is held to the seam, not to the kernel's backend"},
	{"internal/kerneltest", []string{"pkg/spec", "pkg/linux/cgroup", "pkg/linux/feature", "pkg/checkpoint/criu"}, "what tests of the backend need must not need the backend"},
	{"pkg/spec", nil, "the words of a manifest are below everything: every part may use them"},
	{"pkg/reconcile", []string{"pkg/spec"}, "decisions are made on words alone, so that they run in memory and on any kernel"},
	{"pkg/reconcile/probe", []string{"pkg/spec"}, "what is asked and what is known of health are no decisions: the loop draws those, and probes know no records"},
	{"pkg/checkpoint", []string{"pkg/spec"}, "images and the backend meet through small interfaces that their user declares"},
	{"pkg/metric", nil, "figures and how they are written know nothing of what is measured"},
	{"pkg/meter", []string{"pkg/spec", "pkg/reconcile", "pkg/metric", "pkg/linux/proc"}, "what an agent measures is told by the loop and asked of the node by small interfaces: it needs no backend but /proc, and nobody waits for it"},
	{"pkg/flight", []string{"pkg/spec"}, "a trace of this program knows nothing of what it does"},
	{"pkg/web", []string{"pkg/api", "pkg/linux/statefile"}, "a page and who may see it know nothing of what it shows: that comes over the API"},
	{"pkg/machine", []string{"pkg/spec", "pkg/linux", "pkg/checkpoint"}, "it joins the backend and the images, which do not know each other, and decides nothing"},
	{"pkg/api", []string{"pkg/spec", "pkg/reconcile"}, "what goes over the socket are the words of manifests and of the loop: a client in another program needs no backend"},
	{"pkg/client", []string{"pkg/spec", "pkg/api"}, "a client runs where no agent is built in"},
	{"pkg/linux", []string{"pkg/spec", "pkg/linux"}, "the backend is a library of its own: it carries out and does not decide"},
	{"pkg/linux/cgroup", []string{"pkg/spec", "pkg/linux/process", "pkg/linux/proc"}, "limits depend on no other part of the backend"},
	{"pkg/linux/feature", []string{"pkg/linux/cgroup", "pkg/linux/process", "pkg/linux/network/netlink"}, "probes are asked by all and ask few"},
	{"pkg/linux/process", nil, "a start is a list of system calls, whatever they are for"},
	{"pkg/linux/keeper", []string{"pkg/spec", "pkg/linux/process", "pkg/linux/log"}, "the keeper must seldom change: it starts, reaps and records, and knows no manifest's meaning"},
}

// ban is a package that some of ours must not import.
type ban struct {
	pkg       string // foreign or standard import path, and everything below it
	in        []string
	except    []string
	rationale string
}

// bans are all of them.
var bans = []ban{
	{"os", []string{"pkg/spec"}, nil, "words know no files"},
	{"golang.org/x/sys", []string{"pkg/spec"}, nil, "words know no kernel"},
	{"syscall", []string{"pkg/spec"}, nil, "words know no kernel"},
	{"net", []string{"pkg/spec"}, nil, "words know no sockets"},
	{"testing", []string{"cmd", "pkg"}, []string{"pkg/reconcile/backendtest", "pkg/api/apitest"}, "test helpers stay out of the binary"},
	{"github.com/spf13", []string{"pkg", "internal"}, nil, "flags and verbs are the command's matter"},
	{"github.com/opencontainers", []string{"cmd", "pkg"}, []string{"pkg/linux/oci", "cmd/reconciler/ocicmd"}, "the backend is our own; the runtime specification's types are for who translates them"},
	{"github.com/containerd", []string{"cmd", "pkg"}, nil, "the backend is our own"},
}

// pure are packages below a banned one that only compute.
var pure = []string{"net/netip"}

// check says which of a package's imports break a rule or a ban, and why. Paths are below the module for our own.
func check(pkg string, imports []string, module string) (broken []string) {
	rule, ok := ruleOf(pkg)
	if !ok {
		return []string{fmt.Sprintf("%s has no rule: add one to internal/arch/rules.go", pkg)}
	}
	for _, path := range imports {
		own, isOurs := strings.CutPrefix(path, module+"/")
		if isOurs && !within(own, append(rule.May, rule.Package)) {
			broken = append(broken, fmt.Sprintf("%s imports %s: %s", pkg, own, rule.Reason))
		}
		for _, b := range bans {
			if !isOurs && within(path, []string{b.pkg}) && !slices.Contains(pure, path) && within(pkg, b.in) && !within(pkg, b.except) {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", pkg, path, b.rationale))
			}
		}
	}
	return broken
}

// ruleOf finds the rule with the longest path above a package.
func ruleOf(pkg string) (best rule, ok bool) {
	for _, r := range rules {
		if within(pkg, []string{r.Package}) && len(r.Package) > len(best.Package) {
			best, ok = r, true
		}
	}
	return best, ok
}

// within tells whether a path is one of others, or below one.
func within(path string, others []string) bool {
	return slices.ContainsFunc(others, func(o string) bool {
		return o == "*" || path == o || strings.HasPrefix(path, o+"/")
	})
}
