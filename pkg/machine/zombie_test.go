package machine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Children that have ended and that nobody has waited for are in an image, with how they ended.
func TestZombies(t *testing.T) {
	n := open(t)
	n.run(n.container("web", `sh -c 'exit 3' & sh -c 'exit 4' & sh -c 'kill -9 $$' & exec sleep 100000`))
	want := []string{"1024", "768", "9"} // see wait(2)
	n.until("three zombies", func() bool { return slices.Equal(n.zombies("web"), want) })
	for range 2 {
		img, err := n.Checkpoint(t.Context(), "web", 1, spec.CheckpointOptions{Stop: true})
		must(t, err)
		n.until("the end", func() bool { return n.look("web").Phase == spec.InstanceExited })
		must(t, n.Restore(t.Context(), "web", 1, img.Ref()))
		if got := n.zombies("web"); !slices.Equal(got, want) {
			t.Errorf("restored: got %q, want %q", got, want)
		}
	}
}

// zombies are the children of a container's first process that it has not waited for: how each has ended, see proc_pid_stat(5).
func (n *node) zombies(name string) (ended []string) {
	pid := n.look(name).Pid
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	must(n.t, err)
	for _, list := range lists {
		text, err := os.ReadFile(list)
		must(n.t, err)
		for _, child := range strings.Fields(string(text)) {
			stat, _ := os.ReadFile("/proc/" + child + "/stat")
			if fields := strings.Fields(string(stat)); len(fields) > 51 && fields[2] == "Z" {
				ended = append(ended, fields[51])
			}
		}
	}
	slices.Sort(ended)
	return ended
}
