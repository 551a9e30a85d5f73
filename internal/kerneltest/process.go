package kerneltest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// subprocess holds the name of the test that a test binary was started for by InSubprocess.
const subprocess = "RECONCILER_TEST_SUBPROCESS"

// InSubprocess runs f in a process of its own, a second start of the test binary that runs only this test: for
// what changes a process for good (namespaces, capabilities, filters, rlimits). What the test does before the
// call happens in both, what it does after only here. A skip or failure there is one here.
func InSubprocess(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Getenv(subprocess) == t.Name() {
		f(t)
		t.SkipNow()
	}
	var pattern []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.count=1", "-test.run="+strings.Join(pattern, "/"))
	cmd.Env = append(os.Environ(), subprocess+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in the subprocess: %v\n%s", err, out)
	}
	if os.Getenv("RECONCILER_SOAK") != "" { // what a long campaign measures is worth a look
		t.Logf("in the subprocess:\n%s", out)
	}
	for line := range strings.Lines(string(out)) {
		if _, skip, ok := strings.Cut(line, "skip: needs "); ok {
			t.Skip("skip: needs " + strings.TrimSpace(skip))
		}
	}
}

// ownNetwork tells a test binary that it is in a network namespace of its own.
const ownNetwork = "RECONCILER_TEST_NETNS"

// OwnNetwork runs the test in a process whose network namespace is its own, which begin prepares: with the loopback up, say. That process executes
// itself in there, because a thread that went by itself could be the first one, which the others are taken for.
func OwnNetwork(t *testing.T, begin func() error, test func(t *testing.T)) {
	t.Helper()
	Root(t)
	Require(t, feature.NetworkNamespaces)
	InSubprocess(t, func(t *testing.T) {
		if os.Getenv(ownNetwork) == "" {
			runtime.LockOSThread()
			if err := errors.Join(unix.Unshare(unix.CLONE_NEWNET), begin()); err != nil {
				t.Fatal(err)
			}
			t.Fatal(unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), ownNetwork+"=1")))
		}
		test(t)
	})
}

// Main runs a package's tests and fails when they leave descriptors open. Use it as
//
//	func TestMain(m *testing.M) { kerneltest.Main(m) }
func Main(m *testing.M) {
	criu.Hook() // for Criu
	before := Inventory(descriptors("/proc/self/fd"))
	code := m.Run()
	for end := time.Now().Add(settle); code == 0; time.Sleep(10 * time.Millisecond) {
		after := descriptors("/proc/self/fd")
		diff := slices.DeleteFunc(Diff(before, after), func(line string) bool { return line[0] == '-' })
		if diff == nil {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "the tests leave descriptors open:\n%s\n", strings.Join(diff, "\n"))
			code = 1
		}
	}
	os.Exit(code)
}
