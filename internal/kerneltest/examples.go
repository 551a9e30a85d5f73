package kerneltest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// Examples leaves out the examples that this machine cannot run: an example cannot skip. All need privileges, busybox and cgroup v2, and some
// what needs says by their names. It says what a skip would say, and fails where Require would. Call it before Main, in TestMain:
//
//	kerneltest.Examples(map[string][]*feature.Feature{"ExampleNode_Run_seccomp": {feature.Seccomp}})
func Examples(needs map[string][]*feature.Feature) {
	const all = "Example"
	if _, err := applets(); err != nil {
		leaveOut(all, noBusybox(err))
		return
	}
	if skip := lacking(feature.Privileges, feature.CgroupV2); skip != "" {
		leaveOut(all, skip)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		if skip := lacking(needs[name]...); skip != "" {
			leaveOut(name+"$", skip)
		}
	}
}

// Without leaves out one example, for who runs it in another way.
func Without(example string) { setSkip("^" + example + "$") }

// lacking is the text of a skip, or "". It ends the tests where a probe is wrong.
func lacking(features ...*feature.Feature) string {
	for _, f := range features {
		skip, err := judge(f.Probe(), feature.Privileges.Probe(), kernelRelease())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if skip != "" {
			return skip
		}
	}
	return ""
}

// leaveOut says what is left out and why, and does so.
func leaveOut(pattern, skip string) {
	fmt.Printf("%s: %s\n", strings.TrimSuffix(pattern, "$"), skip)
	setSkip("^" + pattern)
}

// setSkip adds a pattern to -test.skip.
func setSkip(pattern string) {
	if !flag.Parsed() {
		flag.Parse()
	}
	skip := flag.Lookup("test.skip")
	if had := skip.Value.String(); had != "" {
		pattern = had + "|" + pattern
	}
	if err := skip.Value.Set(pattern); err != nil {
		panic(err)
	}
}
