package engines

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

// story is what an engine is told to do with one runtime, and what is seen of it.
type story struct {
	*node
	engine
	problems []string
	seen     []sight
}

// sight is something that has to look the same with this runtime as with another.
type sight struct{ what, text string }

// engine is an engine that uses one runtime.
type engine interface {
	// argv is a command line of the engine.
	argv(args ...string) []string
	// clear removes all containers, of a story that may have ended early.
	clear(s *story)
}

// chapter is a row of a table of stories.
type chapter struct {
	name string
	tell func(s *story)
	// needs is what the machine lacks for it, "" if nothing; nil needs nothing.
	needs func() string
}

// end ends a story early.
type end struct{}

func (s *story) failf(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

func (s *story) stop(format string, args ...any) {
	s.failf(format, args...)
	panic(end{})
}

// try runs the engine's command line.
func (s *story) try(args ...string) result { return s.feed("", args...) }

// feed is try with something on the standard input.
func (s *story) feed(in string, args ...string) result {
	r, err := s.command(in, s.argv(args...)...)
	if err != nil {
		s.stop("%v", err)
	}
	return r
}

// run is try of what must succeed.
func (s *story) run(args ...string) string {
	r := s.try(args...)
	if r.code != 0 {
		s.stop("%.200q: code %d\n%s\n%s", fmt.Sprint(args), r.code, r.out, r.err)
	}
	return r.out
}

// refused is try of what must fail, with a text.
func (s *story) refused(code int, text string, args ...string) {
	if r := s.try(args...); r.code != code || !strings.Contains(r.out+r.err, text) {
		s.failf("%.200q: code %d, want %d and %q\n%s\n%s", fmt.Sprint(args), r.code, code, text, r.out, r.err)
	}
}

// same holds what is to what it should be.
func (s *story) same(what, got, want string) {
	if got != want {
		s.failf("%s: got %q, want %q", what, got, want)
	}
}

// holds holds a text to what should be in it.
func (s *story) holds(what, text string, parts ...string) {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			s.failf("%s: no %q in %q", what, part, text)
		}
	}
}

// see keeps a text that has to be the same with another runtime.
func (s *story) see(what, text string) { s.seen = append(s.seen, sight{what, text}) }

// soon waits until something is so.
func (s *story) soon(what string, is func() bool) {
	for late := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			s.stop("still not %s", what)
		}
	}
}

// told tells a story, and that nothing is left of it.
func (c chapter) told(n *node, e engine) *story {
	s := &story{node: n, engine: e}
	n.do(func() {
		before := n.rest()
		s.guarded(c.tell)
		s.guarded(e.clear)
		var left []string
		for late := time.Now().Add(15 * time.Second); time.Now().Before(late); time.Sleep(20 * time.Millisecond) {
			if left = kerneltest.Diff(before, n.rest()); left == nil {
				return
			}
		}
		s.failf("something is left, or taken away:\n%s", strings.Join(left, "\n"))
	})
	return s
}

func (s *story) guarded(f func(*story)) {
	defer func() {
		if r := recover(); r != nil && r != any(end{}) {
			panic(r)
		}
	}()
	f(s)
}

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

// judge says what is wrong: whatever this runtime does not do, what no other does either, and what looks different.
func judge(stages []stage, stories []*story) (wrong []string) {
	last := len(stories) - 1
	ours, others := stories[last], stories[:last]
	for _, p := range ours.problems {
		wrong = append(wrong, "with this runtime: "+p)
	}
	if !slices.ContainsFunc(others, func(s *story) bool { return len(s.problems) == 0 }) {
		wrong = append(wrong, "no other runtime does this: the test is wrong, or needs a probe")
		for i, other := range others {
			for _, p := range other.problems {
				wrong = append(wrong, fmt.Sprintf("with %s: %s", stages[i].name, p))
			}
		}
	}
	return append(wrong, compare(ours, others)...)
}

// compare holds each sight of this runtime to the others': it has the lines that they all have, and none that no other has.
func compare(ours *story, others []*story) (wrong []string) {
	for i, sight := range ours.seen {
		var shown []map[string]int
		for _, other := range others {
			if i < len(other.seen) { // else its problems are told
				shown = append(shown, count(other.seen[i].text))
			}
		}
		if diff := differences(count(sight.text), shown); len(diff) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s (- all others, + only this runtime):\n%s", sight.what, strings.Join(diff, "\n")))
		}
	}
	return wrong
}

// differences are the lines that are there more often than in any of others, and less often than in all of them.
func differences(lines map[string]int, others []map[string]int) (diff []string) {
	if len(others) == 0 {
		return nil
	}
	all := maps.Clone(lines)
	for _, other := range others {
		maps.Copy(all, other)
	}
	for line := range all {
		least, most := others[0][line], others[0][line]
		for _, other := range others {
			least, most = min(least, other[line]), max(most, other[line])
		}
		switch n := lines[line]; {
		case n > most:
			diff = append(diff, "+ "+line)
		case n < least:
			diff = append(diff, "- "+line)
		}
	}
	slices.SortFunc(diff, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	return diff
}

// count counts the lines of a text.
func count(text string) map[string]int {
	lines := map[string]int{}
	for line := range strings.SplitSeq(text, "\n") {
		lines[strings.TrimRight(line, " ")]++
	}
	return lines
}

// read is a file of the node's.
func (s *story) read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		s.stop("%v", err)
	}
	return strings.TrimSpace(string(text))
}

// outside runs a script on the node.
func (s *story) outside(script string) string {
	r, err := s.command("", "sh", "-c", script)
	if err != nil || r.code != 0 {
		s.stop("%s: %v: code %d\n%s", script, err, r.code, r.err)
	}
	return r.out
}

// fields are the words of a text.
func fields(text string) []string { return strings.Fields(text) }

// memoryLimit shows a container's own limit from inside, with either version of cgroups.
const memoryLimit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true"

// The comparison of sights finds what is missing and what is added, and lets others differ among themselves.
func TestDifferences(t *testing.T) {
	for _, row := range []struct {
		ours   string
		others []string
		want   string
	}{
		{"a\nb", []string{"a\nb"}, ""},
		{"a\nc", []string{"a\nb", "a\nc"}, ""},
		{"a\nb", []string{"a\nc", "a\nb\nc"}, "- c"},
		{"a\na", []string{"a", "a\nb"}, "+ a"},
		{"", []string{"a"}, "+ |- a"},
		{"a", nil, ""},
	} {
		var others []map[string]int
		for _, text := range row.others {
			others = append(others, count(text))
		}
		if got := strings.Join(differences(count(row.ours), others), "|"); got != row.want {
			t.Errorf("%q beside %q: %q, want %q", row.ours, row.others, got, row.want)
		}
	}
}
