package keeper

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr/funcr"
)

// A worker's panic is reported and ends nobody: its own descriptor is served again, others all the while.
func TestLoopSurvives(t *testing.T) {
	var mu sync.Mutex
	var said strings.Builder
	l, err := newLoop(funcr.New(func(_, args string) { mu.Lock(); defer mu.Unlock(); said.WriteString(args) }, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() { l.run(ctx) })

	served := make(chan string, 2)
	first := true
	for name, ready := range map[string]func() bool{
		"clumsy": func() bool {
			if first {
				first = false
				panic("oops")
			}
			served <- "clumsy"
			return false
		},
		"other": func() bool { served <- "other"; return false },
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		w.WriteString(name)
		if _, err := l.add(r, ready); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := <-served, <-served; a == b {
		t.Errorf("%s was served twice", a)
	}
	mu.Lock()
	defer mu.Unlock()
	if text := said.String(); !strings.Contains(text, "oops") || !strings.Contains(text, "loop_test.go") {
		t.Errorf("said: %s", text)
	}
}
