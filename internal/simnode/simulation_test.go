package simnode_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the garbage wait, up to a limit: each agent that starts has room for 8,192 changes.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(512 << 20)
	os.Exit(m.Run())
}

// campaign is how many seeds are played, and how many deeds each has.
type campaign struct{ from, seeds, steps uint64 }

// asked is the campaign that the environment asks for: RECONCILER_SEED is the first seed, RECONCILER_SEEDS how many are played (one, of a first that is
// said), RECONCILER_STEPS how many deeds each has.
func (c campaign) asked() campaign {
	if os.Getenv("RECONCILER_SOAK") != "" {
		c = campaign{1, 50_000, 1000}
	}
	for name, n := range map[string]*uint64{"RECONCILER_SEEDS": &c.seeds, "RECONCILER_STEPS": &c.steps, "RECONCILER_SEED": &c.from} {
		if v, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
			*n = v
		}
	}
	if os.Getenv("RECONCILER_SEED") != "" && os.Getenv("RECONCILER_SEEDS") == "" {
		c.seeds = 1
	}
	return c
}

// lastLines are how many lines of what happened are shown of a seed that fails.
const lastLines = 150

// play plays seeds, as many at once as there are processors, until one fails, is the last, or a tenth of the test's time is left. It gives one that
// failed, and how many were begun.
func (c campaign) play(t *testing.T, change func(*simulation)) (seed, played uint64, wrong error) {
	type failure struct {
		seed  uint64
		wrong error
	}
	var next atomic.Uint64
	until := time.Now().Add(10 * time.Hour)
	if deadline, ok := t.Deadline(); ok {
		until = time.Now().Add(time.Until(deadline) * 9 / 10)
	}
	var found atomic.Pointer[failure]
	t.Run("seeds", func(t *testing.T) {
		for worker := range min(runtime.GOMAXPROCS(0), int(c.seeds)) {
			t.Run(strconv.Itoa(worker), func(t *testing.T) {
				t.Parallel()
				for i := next.Add(1) - 1; i < c.seeds && found.Load() == nil && time.Now().Before(until); i = next.Add(1) - 1 {
					if log, wrong := simulate(t, c.from+i, compose(c.from+i, int(c.steps)), change); wrong != nil {
						last := strings.Join(log[max(0, len(log)-lastLines):], "\n")
						found.CompareAndSwap(nil, &failure{c.from + i, fmt.Errorf("%w\n%s", wrong, last)})
					}
				}
			})
		}
	})
	if f := found.Load(); f != nil {
		return f.seed, min(next.Load(), c.seeds), f.wrong
	}
	return 0, min(next.Load(), c.seeds), nil
}

// TestSimulation plays seeds: some, or the 50,000 of a soak, or what the environment asks for. Of one that fails it says how to play it again, and the
// shortest script found that fails as well.
func TestSimulation(t *testing.T) {
	c := campaign{1, 200, 80}.asked()
	began := time.Now()
	seed, played, wrong := c.play(t, unchanged)
	took := time.Since(began)
	if wrong == nil {
		t.Logf("%d seeds of %d steps in %v: %.0f steps a second", played, c.steps, took.Round(time.Second), float64(played*c.steps)/took.Seconds())
		return
	}
	t.Errorf("seed %d: %v\nagain: RECONCILER_SEED=%d RECONCILER_STEPS=%d go test -count=1 -run 'TestSimulation$' ./internal/simnode", seed, wrong, seed, c.steps)
	if os.Getenv("RECONCILER_SHRINK") == "0" {
		return
	}
	report(t, seed, shrink(t, seed, compose(seed, int(c.steps)), unchanged), unchanged)
}

func unchanged(*simulation) {}

// report shows a script that fails, and what happens in it. It is played until it fails: no seed decides whose turn it is among an agent's workers.
func report(t *testing.T, seed uint64, script []deed, change func(*simulation)) {
	t.Helper()
	t.Logf("the shortest script found, for RECONCILER_SCRIPT=FILE go test -count=1 -run 'TestScript$' ./internal/simnode:\n%s", printed(seed, script))
	for n := range 20 {
		if log, wrong := simulate(t, seed, script, change); wrong != nil {
			t.Logf("at try %d:\n%s\n%v", n+1, strings.Join(log, "\n"), wrong)
			return
		}
	}
	t.Log("it fails seldom")
}

// TestScript plays the scripts in testdata, each of which failed once, and that in the file RECONCILER_SCRIPT.
func TestScript(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.script")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	if path := os.Getenv("RECONCILER_SCRIPT"); path != "" {
		paths = []string{path}
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".script"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			seed, script, err := parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if _, wrong := simulate(t, seed, script, unchanged); wrong != nil {
				report(t, seed, script, unchanged)
				t.Error(wrong)
			}
		})
	}
}
