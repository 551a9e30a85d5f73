package engines

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

// stage is an engine on a node, with the runtime of a name.
type stage struct {
	name string
	node *node
	engine
}

// tellAll tells stories with each runtime that the machine has and this one, each on a node of its own. What every story begins from is the first one;
// a runtime that does not get through that is left out, but for this one.
func tellAll(t *testing.T, binary string, files map[string]string, start func(t *testing.T, n *node, path string) engine, first func(s *story), chapters []chapter) {
	t.Helper()
	var stages []stage
	for _, name := range []string{"runc", "crun", binary} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Logf("without %s: %v", name, err)
			continue
		}
		n := newNode(t, kerneltest.Parent(t), files)
		e := start(t, n, path)
		problems := strings.Join(chapter{tell: first}.told(n, e).problems, "\n")
		switch {
		case problems == "":
			stages = append(stages, stage{name, n, e})
		case path == binary:
			t.Fatalf("with this runtime: %s", problems)
		default:
			t.Logf("without %s: %s", name, problems)
		}
	}
	if len(stages) < 2 {
		t.Skip("skip: needs runc or crun, and that the engine runs a container with it")
	}
	tell(t, stages, chapters)
}

// tell tells all stories on all stages, of which the last has this runtime. What is wrong counts when it shows twice: engines have races of
// their own, on machines that are busy with others.
func tell(t *testing.T, stages []stage, chapters []chapter) {
	t.Helper()
	right := make([]int, len(stages))
	for _, c := range chapters {
		t.Run(c.name, func(t *testing.T) {
			if c.needs != nil {
				if lack := c.needs(); lack != "" {
					t.Skipf("skip: needs %s: scripts/deps.sh engines installs it", lack)
				}
			}
			stories := c.everywhere(stages)
			wrong := judge(stages, stories)
			if len(wrong) > 0 {
				t.Logf("this is wrong, and tried again:\n%s", strings.Join(wrong, "\n"))
				stories = c.everywhere(stages)
				wrong = judge(stages, stories)
			}
			for _, w := range wrong {
				t.Error(w)
			}
			for i, s := range stories {
				if len(s.problems) == 0 {
					right[i]++
				}
			}
		})
	}
	summary := fmt.Sprintf("%d stories:", len(chapters))
	for i, stage := range stages {
		summary += fmt.Sprintf(" %d come true with %s,", right[i], filepath.Base(stage.name))
	}
	t.Log(strings.TrimSuffix(summary, ","))
}

// everywhere tells a story on all stages at once.
func (c chapter) everywhere(stages []stage) []*story {
	stories := make([]*story, len(stages))
	var all sync.WaitGroup
	for i, stage := range stages {
		all.Go(func() { stories[i] = c.told(stage.node, stage.engine) })
	}
	all.Wait()
	return stories
}
