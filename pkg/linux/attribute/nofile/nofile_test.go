package nofile_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute/nofile"
)

// A process that was given a small soft limit knows it, whatever the runtime has raised it to.
func TestInitial(t *testing.T) {
	const child = "NOFILE_TEST_CHILD"
	if os.Getenv(child) != "" {
		fmt.Println("limit", nofile.Initial.Soft)
		return
	}
	cmd := exec.Command("/bin/sh", "-c", `ulimit -Sn 77; exec "$0" -test.run='^TestInitial$' -test.v`, "/proc/self/exe")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args[3] = exe
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "limit 77\n") {
		t.Errorf("got %s, %v", out, err)
	}
}
