package engines

import (
	"fmt"
	"os"
	"strings"
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
