package probe_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// world is what probers are tried on: containers that answer as a test says, and what was asked of them.
type world struct {
	*probe.Prober

	mu      sync.Mutex
	errs    map[string]error         // what a connection into a name comes to; nil is a success
	delays  map[string]time.Duration // how long it takes
	asked   map[string][]time.Time
	now     int // how many are being asked
	most    int
	changes []string
}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, Err: syscall.ECONNREFUSED}

// inWorld plays in a bubble while a prober runs, and sees that nothing of it is left.
func inWorld(t *testing.T, limit int, play func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{errs: map[string]error{}, delays: map[string]time.Duration{}, asked: map[string][]time.Time{}}
		w.Prober = probe.New(probe.Config{
			Limit: limit,
			Dial: func(ctx context.Context, name string, instance uint64, _, _ string) (net.Conn, error) {
				if err := w.answer(ctx, fmt.Sprintf("%s/%d", name, instance)); err != nil {
					return nil, err
				}
				ours, theirs := net.Pipe()
				return ours, theirs.Close()
			},
			Exec: func(ctx context.Context, name string, instance uint64, _ []string) (int, []byte, error) {
				return 0, nil, w.answer(ctx, fmt.Sprintf("%s/%d", name, instance))
			},
			Changed: func(name string) {
				h, _ := w.Health(name)
				w.mu.Lock()
				defer w.mu.Unlock()
				w.changes = append(w.changes, name+" "+letters(h))
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			w.Run(ctx)
			close(done)
		}()
		synctest.Wait()
		play(t, w)
		cancel()
		<-done
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.now != 0 {
			t.Errorf("%d are still being asked", w.now)
		}
	})
}

// answer is what comes of asking.
func (w *world) answer(ctx context.Context, whom string) error {
	w.mu.Lock()
	w.asked[whom] = append(w.asked[whom], time.Now())
	w.now++
	w.most = max(w.most, w.now)
	err, delay := w.errs[whom], w.delays[whom]
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.now--
	}()
	select {
	case <-time.After(delay):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// will says what connections into an instance come to from now on.
func (w *world) will(whom string, err error, delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs[whom], w.delays[whom] = err, delay
}

// times are how often an instance was asked since the last time.
func (w *world) times(whom string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.asked[whom])
	w.asked[whom] = nil
	return n
}

// atOnce are the most that were asked at once since the last time.
func (w *world) atOnce() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := w.most
	w.most = 0
	return most
}

// is checks what is known of a name.
func (w *world) is(t *testing.T, name, want string) {
	t.Helper()
	synctest.Wait()
	if h, ok := w.Health(name); !ok || letters(h) != want {
		t.Errorf("%s is %s (%v), want %s: %q", name, letters(h), ok, want, h.Message)
	}
}

// every is a probe with a period.
func every(period time.Duration) *spec.Probe {
	return &spec.Probe{TCP: &spec.TCPProbe{Port: 80}, Period: spec.Duration(period)}
}

// first is the first run of instance 1, which begins now.
func first(p spec.Probes) probe.Target {
	return probe.Target{Instance: 1, Starts: 1, StartedAt: time.Now(), Probes: p}
}

// Probes are asked once a period; startup comes first, and the others when it has succeeded.
func TestPeriods(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		w.will("web/1", errRefused, 0)
		w.Set("web", first(spec.Probes{Startup: every(time.Second), Readiness: every(10 * time.Second), Liveness: every(5 * time.Second)}))
		w.is(t, "web", "srL")
		time.Sleep(2 * time.Second)
		w.is(t, "web", "srL")
		if n := w.times("web/1"); n != 2 {
			t.Errorf("asked %d times in two periods", n)
		}
		w.will("web/1", nil, 0)
		time.Sleep(2 * time.Second)
		w.is(t, "web", "SRL")
		w.times("web/1")
		time.Sleep(100 * time.Second)
		if n := w.times("web/1"); n != 30 {
			t.Errorf("asked %d times in 10 and 20 periods", n)
		}
		w.will("web/1", errRefused, 0)
		time.Sleep(15 * time.Second)
		w.is(t, "web", "SRl")
		time.Sleep(20 * time.Second)
		w.is(t, "web", "Srl")
		if h, _ := w.Health("web"); h.Message != "liveness: cannot connect to 127.0.0.1:80: connection refused" {
			t.Errorf("got %+v", h)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if want := []string{"web srL", "web SrL", "web SRL", "web SRl", "web Srl"}; !slices.Equal(w.changes, want) {
			t.Errorf("told %q, want %q", w.changes, want)
		}
	})
}

// The first question waits for the delay, from the start of the run and not from when it was heard of.
func TestInitialDelay(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		p := every(10 * time.Second)
		p.InitialDelay = spec.Duration(time.Minute)
		target := first(spec.Probes{Liveness: p})
		target.StartedAt = target.StartedAt.Add(-30 * time.Second)
		w.Set("web", target)
		time.Sleep(29 * time.Second)
		if n := w.times("web/1"); n != 0 {
			t.Errorf("asked %d times before the delay", n)
		}
		time.Sleep(2 * time.Second)
		if n := w.times("web/1"); n != 1 {
			t.Errorf("asked %d times after the delay", n)
		}
		target.Instance, target.StartedAt = 2, time.Now().Add(10*time.Hour) // somebody has set the clock
		w.Set("web", target)
		time.Sleep(62 * time.Second)
		if n := w.times("web/2"); n != 1 {
			t.Errorf("asked %d times with a clock that was set", n)
		}
	})
}

// Who does not answer in time has failed; who takes longer than a period is not asked twice at once.
func TestTimeout(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		w.will("web/1", nil, time.Hour)
		p := every(time.Second)
		p.Timeout = spec.Duration(5 * time.Second)
		w.Set("web", first(spec.Probes{Liveness: p}))
		time.Sleep(16 * time.Second)
		w.is(t, "web", "SRl")
		if h, _ := w.Health("web"); h.Message != "liveness: no answer within 5s" {
			t.Errorf("got %+v", h)
		}
		if n, most := w.times("web/1"), w.atOnce(); n != 4 || most != 1 {
			t.Errorf("asked %d times, %d at once", n, most)
		}
	})
}

// What says that there is nobody to be asked is no failure; a command that is not there is one.
func TestSaysNothing(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		for _, err := range []error{spec.ErrNotRunning, spec.ErrBusy} {
			w.will("web/1", fmt.Errorf("cannot connect into %q: %w", "web", err), 0)
			w.Set("web", first(spec.Probes{Liveness: every(time.Second)}))
			time.Sleep(time.Minute)
			w.is(t, "web", "SRL")
			if n := w.times("web/1"); n != 60 {
				t.Errorf("asked %d times", n)
			}
		}
		w.will("job/1", noCommand{syscall.ENOENT}, 0)
		w.Set("job", first(spec.Probes{Liveness: &spec.Probe{Exec: &spec.ExecProbe{Command: []string{"x"}}}}))
		time.Sleep(time.Minute)
		w.is(t, "job", "SRl")
	})
}

type noCommand struct{ syscall.Errno }

func (noCommand) OfCommand() bool { return true }
func (n noCommand) Unwrap() error { return n.Errno }

// While it is suspended nothing is asked, what is under way is dropped, and what is known and counted stays.
func TestSuspended(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		target := first(spec.Probes{Liveness: every(time.Second)})
		w.will("web/1", errRefused, 0)
		w.Set("web", target)
		time.Sleep(1500 * time.Millisecond)
		w.will("web/1", errRefused, 500*time.Millisecond)
		time.Sleep(800 * time.Millisecond) // two have failed, and the third is under way
		w.is(t, "web", "SRL")
		target.Suspended = true
		w.Set("web", target)
		w.times("web/1")
		time.Sleep(time.Hour)
		w.is(t, "web", "SRL")
		if n := w.times("web/1"); n != 0 {
			t.Errorf("asked %d times while suspended", n)
		}
		target.Suspended = false
		w.Set("web", target)
		time.Sleep(600 * time.Millisecond)
		w.is(t, "web", "SRl")
	})
}

// An equal target changes nothing; another run begins anew, and a result of the run before does not count for it.
func TestRuns(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		w.will("web/1", nil, 700*time.Millisecond)
		target := first(spec.Probes{Readiness: every(time.Second), Liveness: every(time.Second)})
		w.Set("web", target)
		for range 100 { // it would never be asked if each began anew
			time.Sleep(50 * time.Millisecond)
			again := target
			again.Health = probe.Health{Ready: true}
			w.Set("web", again)
		}
		w.is(t, "web", "SRL")
		before := w.times("web/1")
		if before < 8 || before > 12 {
			t.Errorf("asked %d times", before)
		}
		time.Sleep(400 * time.Millisecond) // something is under way
		target.Starts, target.StartedAt = 2, time.Now()
		target.Health = probe.Health{Started: true, Ready: true, Live: true}
		w.Set("web", target)
		w.is(t, "web", "SrL")
		w.will("web/1", errRefused, 0)
		time.Sleep(700 * time.Millisecond)
		w.is(t, "web", "SrL")
		target.Instance, target.StartedAt = 2, time.Now()
		w.Set("web", target)
		time.Sleep(2 * time.Second)
		w.is(t, "web", "SRL")
		w.Remove("web")
		w.Remove("web")
		w.times("web/2")
		time.Sleep(time.Minute)
		if _, ok := w.Health("web"); ok || w.times("web/2") != 0 {
			t.Error("a removed name is asked")
		}
	})
}

// What an agent before this one knew is where it begins: nothing flips because an agent begins.
func TestKnown(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		target := first(spec.Probes{Startup: every(time.Second), Readiness: every(10 * time.Second)})
		target.StartedAt = target.StartedAt.Add(-time.Hour)
		target.Health = probe.Health{Started: true, Ready: true, Live: true, Since: target.StartedAt}
		w.will("web/1", errRefused, 0)
		w.Set("web", target)
		if h, _ := w.Health("web"); h != target.Health {
			t.Errorf("begins as %+v", h)
		}
		time.Sleep(20 * time.Second)
		w.is(t, "web", "SRL")
		time.Sleep(11 * time.Second)
		w.is(t, "web", "SrL")
	})
}

// The container's own word counts for probes that wait for it, in its own run, and lets the others begin.
func TestNotified(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		w.Set("web", first(spec.Probes{Startup: told, Readiness: told, Liveness: every(time.Second)}))
		time.Sleep(time.Minute)
		w.is(t, "web", "srL")
		ready := spec.Notified{Socket: true, Started: true, Ready: true}
		if w.Notified("web", 1, 2, ready) || w.Notified("web", 2, 1, ready) || w.Notified("nobody", 1, 1, ready) {
			t.Error("another's word counts")
		}
		if n := w.times("web/1"); n != 0 {
			t.Errorf("asked %d times before it has started", n)
		}
		if !w.Notified("web", 1, 1, ready) || w.Notified("web", 1, 1, ready) {
			t.Error("its word counts not, or twice")
		}
		w.is(t, "web", "SRL")
		time.Sleep(10 * time.Second)
		if n := w.times("web/1"); n != 10 {
			t.Errorf("asked %d times after it has started", n)
		}
	})
}

// A question that was dropped and goes on is waited for before the next of its name: never two of one probe at once.
func TestDroppedGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asking, most, times := 0, 0, 0
		var mu sync.Mutex
		p := probe.New(probe.Config{Exec: func(context.Context, string, uint64, []string) (int, []byte, error) {
			mu.Lock()
			asking++
			most, times = max(most, asking), times+1
			mu.Unlock()
			time.Sleep(3 * time.Second) // it heeds no context
			mu.Lock()
			asking--
			mu.Unlock()
			return 0, nil, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			p.Run(ctx)
			close(done)
		}()
		for i := range 20 {
			target := first(spec.Probes{Liveness: &spec.Probe{Exec: &spec.ExecProbe{Command: []string{"x"}}, Period: spec.Duration(100 * time.Millisecond)}})
			target.Starts = i
			p.Set("web", target)
			time.Sleep(time.Second)
		}
		cancel()
		<-done
		if most != 1 || times < 6 || asking != 0 {
			t.Errorf("asked %d times, %d at once, %d go on", times, most, asking)
		}
	})
}

// 500 containers that begin at one moment are not asked at one, never more at once than may be, all of them, and in a fair order; at rest there is one
// goroutine for all, and somebody who changes his mind again and again costs no memory.
func TestStorm(t *testing.T) {
	const containers, limit = 500, 64
	inWorld(t, limit, func(t *testing.T, w *world) {
		before := runtime.NumGoroutine()
		set := func(starts int) {
			for i := range containers {
				name := fmt.Sprintf("c%d", i)
				w.will(name+"/1", nil, 50*time.Millisecond)
				target := first(spec.Probes{Readiness: every(10 * time.Second), Liveness: every(10 * time.Second)})
				target.Starts = starts
				w.Set(name, target)
			}
		}
		set(1)
		synctest.Wait()
		if now := runtime.NumGoroutine(); now > before+limit {
			t.Errorf("%d goroutines, %d before", now, before)
		}
		time.Sleep(2 * time.Second)
		for i := range containers {
			w.is(t, fmt.Sprintf("c%d", i), "SRL")
		}
		if most := w.atOnce(); most > limit {
			t.Errorf("%d were asked at once", most)
		}
		synctest.Wait()
		if now := runtime.NumGoroutine(); now > before+3 { // those of the runtime come and go
			t.Errorf("%d goroutines at rest, %d before", now, before)
		}
		time.Sleep(98 * time.Second)
		synctest.Wait()
		for i := range containers {
			if n := w.times(fmt.Sprintf("c%d/1", i)); n != 20 {
				t.Fatalf("c%d was asked %d times in 100 seconds", i, n)
			}
		}
		w.atOnce()
		time.Sleep(30 * time.Second)
		if most := w.atOnce(); most > limit || most < 2 {
			t.Errorf("%d were asked at once later on", most)
		}
		for i := range 50 {
			set(i + 2)
		}
		if n := w.Waiting(); n > 10*containers {
			t.Errorf("%d turns are kept for %d containers", n, containers)
		}
	})
}

// With fewer at once than are due all have their turn.
func TestFair(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		for i := range 20 {
			name := fmt.Sprintf("c%d", i)
			w.will(name+"/1", nil, 400*time.Millisecond)
			w.Set(name, first(spec.Probes{Liveness: every(time.Second)})) // 8 seconds of work each second, for 2
		}
		time.Sleep(time.Minute)
		least, most := 1000, 0
		for i := range 20 {
			n := w.times(fmt.Sprintf("c%d/1", i))
			least, most = min(least, n), max(most, n)
		}
		if n := w.atOnce(); least < most-2 || n != 2 {
			t.Errorf("asked %d to %d times, %d at once", least, most, n)
		}
	})
}

// The end waits for what is under way, and what comes of that changes nothing.
func TestEnd(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		w.will("web/1", errors.New("late"), time.Hour)
		p := every(time.Second)
		p.Timeout = spec.Duration(time.Hour)
		p.FailureThreshold = 1
		w.Set("web", first(spec.Probes{Liveness: p}))
		time.Sleep(10 * time.Second)
	})
}
