package source_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
)

// In a round of the torture, containers keep (never touched) and x (with a new version) are there before and after.
const (
	// tortureRescan is how often a directory is read without a hint.
	tortureRescan = 300 * time.Millisecond
	// tortureDeadline is for a machine that has much else to do.
	tortureDeadline = 20 * time.Second
	// tick is long enough for a scan to see what is half done.
	tick = 30 * time.Millisecond
)

// victim is a directory that is followed as the agent does it, while somebody changes it.
type victim struct {
	base, path string
	round      int

	mu      sync.Mutex
	desired map[string]*reconcile.Desired
	missing map[string]time.Time
	acted   map[string]int // how often a name's manifest came to say something else
	removed []string
	stalled bool // something was away for so long that its removal is right
	lastErr error
}

// text is a manifest of a container at a version; all have the same length.
func text(container string, version int) []byte {
	return fmt.Appendf(nil, "apiVersion: reconciler/v1alpha1\nkind: Container\nmetadata: {name: %s}\nspec: {rootfs: {path: /srv}, command: [/bin/true, v%05d]}\n", container, version)
}

// must ends the round; run reports it.
func (v *victim) must(errs ...error) {
	if err := errors.Join(errs...); err != nil {
		panic(err)
	}
}

func (v *victim) at(name string) string { return filepath.Join(v.path, name) }

// put renames a manifest into a directory.
func (v *victim) put(dir, name, container string, version int) {
	temporary := filepath.Join(dir, "."+name+".Xa81jQ")
	v.must(os.WriteFile(temporary, text(container, version), 0o644), os.Rename(temporary, filepath.Join(dir, name)))
}

// fill makes a directory with both containers, x at a version.
func (v *victim) fill(dir string, version int) {
	v.must(os.MkdirAll(dir, 0o755))
	v.put(dir, "keep.yaml", "keep", 0)
	v.put(dir, "x.yaml", "x", version)
}

// briefly takes something away and puts it back. On a busy machine that may take as long as a removal.
func (v *victim) briefly(do func()) {
	began := time.Now()
	do()
	v.stalled = v.stalled || time.Since(began) > reconcile.Settle/2
}

// overwrite writes into a file as it lies there, with a pause in the middle.
func (v *victim) overwrite(path string, flags int, content []byte) {
	f, err := os.OpenFile(path, os.O_WRONLY|flags, 0o644)
	v.must(err)
	defer f.Close()
	half := len(content) / 2
	_, err = f.Write(content[:half])
	v.must(err)
	time.Sleep(tick)
	_, err = f.Write(content[half:])
	v.must(err, f.Truncate(int64(len(content))))
}

// take is the agent's intake of a snapshot; it tells whether another is needed soon.
func (v *victim) take(s reconcile.Snapshot) (soon bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a := reconcile.Admit(reconcile.Request{
		Snapshots: []reconcile.Snapshot{s}, Incumbents: v.desired, Missing: v.missing, Prune: reconcile.PruneAlways,
	})
	for name, d := range a.Desired {
		if before := v.desired[name]; before == nil || !reflect.DeepEqual(before.Container, d.Container) {
			v.acted[name]++
		}
	}
	v.desired, v.missing, v.lastErr = a.Desired, a.Missing, s.Err
	v.removed = append(v.removed, a.Removed...)
	return s.Unsettled || len(a.Missing) > 0
}

// follow scans until ctx ends, on hints and without.
func (v *victim) follow(ctx context.Context, dir *source.Dir) {
	hints := dir.Hints(ctx)
	for ctx.Err() == nil {
		pause := tortureRescan
		if v.take(dir.Scan(ctx, false)) {
			pause = reconcile.Settle
		}
		select {
		case <-hints:
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// versions are what is in force, by name.
func (v *victim) versions() map[string]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[string]string{}
	for name, d := range v.desired {
		all[name] = d.Container.Spec.Command[1]
		if d.Accepted.Reason != reconcile.ReasonValid {
			all[name] += " " + d.Accepted.Reason
		}
	}
	return all
}

// settles waits until what is in force is what is there, and stays so.
func (v *victim) settles() error {
	want := map[string]string{"keep": "v00000", "x": fmt.Sprintf("v%05d", v.round)}
	for deadline := time.Now().Add(tortureDeadline); ; time.Sleep(tick) {
		if maps.Equal(v.versions(), want) {
			time.Sleep(reconcile.Settle + 2*tick) // what is wrong may still be to come
			if now := v.versions(); !maps.Equal(now, want) {
				return fmt.Errorf("in force was %v, then %v", want, now)
			}
			return v.judge(want)
		}
		if time.Now().After(deadline) {
			v.mu.Lock()
			defer v.mu.Unlock()
			return fmt.Errorf("in force is %v, want %v; last: %v", v.desired, want, v.lastErr)
		}
	}
}

// judge says what must not have happened in a round, and begins the next.
func (v *victim) judge(want map[string]string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var errs []error
	for _, name := range v.removed {
		if want[name] != "" && !v.stalled {
			errs = append(errs, fmt.Errorf("%s was destroyed, though it is there before and after", name))
		}
	}
	for name, times := range v.acted {
		if times > 2 || name == "keep" {
			errs = append(errs, fmt.Errorf("%s was acted on %d times", name, times))
		}
	}
	v.removed, v.stalled, v.acted = nil, false, map[string]int{}
	return errors.Join(errs...)
}

// run is all rounds of one scenario.
func (s scenario) run(ctx context.Context, base string, rounds int) (err error) {
	v := &victim{base: base, path: filepath.Join(base, "m"), acted: map[string]int{}}
	defer func() {
		if failed := recover(); failed != nil {
			err = fmt.Errorf("round %d: %v", v.round, failed)
		}
	}()
	v.must(os.Mkdir(base, 0o755))
	setup := s.setup
	if setup == nil {
		setup = func(v *victim) { v.fill(v.path, 0) }
	}
	setup(v)
	dir, err := source.New(v.path, source.Options{Watch: s.watch})
	v.must(err)
	ctx, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { v.follow(ctx, dir) })
	defer func() {
		stop()
		work.Wait()
	}()
	v.must(v.settlesAtFirst())
	for v.round = 1; v.round <= rounds; v.round++ {
		s.do(v)
		v.must(v.settles())
	}
	return nil
}

func (v *victim) settlesAtFirst() error {
	for deadline := time.Now().Add(tortureDeadline); len(v.versions()) != 2; time.Sleep(tick) {
		if time.Now().After(deadline) {
			return errors.New("it was never read")
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.acted = map[string]int{}
	return nil
}

// Whatever way a directory is changed, what is there at the end is in force, nothing of it was destroyed on the way, and no container was led
// through states that nobody wrote.
func TestTorture(t *testing.T) {
	rounds := 2
	if os.Getenv("RECONCILER_SOAK") != "" {
		rounds = 50
	}
	base := filepath.Join(t.TempDir(), "base")
	if err := errors.Join(os.Mkdir(base, 0o755), os.Chmod(filepath.Dir(base), 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unmountBelow(base) })
	var work sync.WaitGroup
	for i, s := range scenarios {
		work.Go(func() {
			began := time.Now()
			if err := s.run(t.Context(), filepath.Join(base, fmt.Sprint(i)), rounds); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
			t.Logf("%s: %s a round", s.name, (time.Since(began) / time.Duration(rounds)).Round(time.Millisecond))
		})
	}
	work.Wait()
}

// unmountBelow undoes what a failed round left.
func unmountBelow(base string) {
	for i := range scenarios {
		_ = unix.Unmount(filepath.Join(base, fmt.Sprint(i), "m"), unix.MNT_DETACH)
	}
}
