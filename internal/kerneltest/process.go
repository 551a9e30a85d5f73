package kerneltest

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
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
