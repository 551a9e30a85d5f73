package bench

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// BenchmarkCheckpoint takes images of containers with more and more memory and restores them: ours and runc's by the same criu, and that criu alone with the same
// processes, which have no namespaces then. It tells
//
//	frozen   how long they stood still for an image after which they run on
//	live     how long that took in all
//	stop     how long an image took with which they end; ours is on the disk then, and under checksums
//	restore  how long it took until they ran again
//
// of which frozen is what criu says of itself for the others, and what the node saw for ours.
func BenchmarkCheckpoint(b *testing.B) {
	kerneltest.Root(b)
	tool, err := criu.Find(b.Context(), "")
	if err != nil {
		b.Skip(err)
	}
	mark, rootfs := newMark(b), newRootfs(b)
	n := newMachine(b)
	for _, load := range loads {
		b.Run(load.name, func(b *testing.B) {
			savers := []saver{newSavedOurs(b, n, rootfs, mark, load, false)}
			if load.memory >= lazyFrom {
				savers = append(savers, newSavedOurs(b, n, rootfs, mark, load, true))
			}
			savers = append(savers, newSavedBare(b, tool, rootfs, mark, load))
			if path, err := exec.LookPath("runc"); err == nil {
				savers = append(savers, newSavedRunc(b, path, rootfs, mark, load))
			}
			save(b, savers, min(b.N, load.rounds))
		})
	}
}

// load is what a container does.
type load struct {
	name   string
	memory int // MiB beside its programs
	rounds int // at most: large ones take seconds
}

var loads = []load{{"counter", 0, 50}, {"64MiB", 64, 20}, {"256MiB", 256, 10}, {"1GiB", 1024, 5}}

// lazyFrom is from which memory on it is of interest that it may follow.
const lazyFrom = 256

// command counts, beside a program that holds so much memory: what it has read and cannot write.
func (l load) command() []string {
	const counts = "i=0; while :; do i=$((i+1)); sleep 0.05; done"
	if l.memory == 0 {
		return []string{"/bin/sh", "-c", "echo >/mark/mark; " + counts}
	}
	holds := fmt.Sprintf("(dd if=/dev/zero bs=%dM count=1 2>/dev/null | (head -c 1 >/dev/null; echo >/mark/mark; exec sleep 100000)) & ", l.memory)
	return []string{"/bin/sh", "-c", holds + counts}
}

// saver takes images of a container and restores it.
type saver interface {
	name() string
	start(b *testing.B)
	live(b *testing.B) (frozen time.Duration)
	stop(b *testing.B)
	restore(b *testing.B)
	end(b *testing.B)
}

// save lets the savers take turns.
func save(b *testing.B, savers []saver, rounds int) {
	took := map[string][]time.Duration{}
	timed := func(step string, s saver, do func(*testing.B)) {
		began := time.Now()
		do(b)
		took[step+" "+s.name()] = append(took[step+" "+s.name()], time.Since(began))
	}
	var subjects []subject
	for _, s := range savers {
		subjects = append(subjects, subject{s.name(), s.name() == "ours" || s.name() == "lazy", []step{{name: "frozen"}, {name: "live"}, {name: "stop"}, {name: "restore"}}})
	}
	for round := range rounds {
		for i := range savers {
			s := savers[(round+i)%len(savers)]
			s.start(b)
			timed("live", s, func(b *testing.B) { took["frozen "+s.name()] = append(took["frozen "+s.name()], s.live(b)) })
			timed("stop", s, s.stop)
			timed("restore", s, s.restore)
			s.end(b)
		}
	}
	if rounds == 1 {
		return
	}
	report(b, subjects, took)
	if lazy := took["restore lazy"]; lazy != nil {
		fmt.Printf("restore  lazy   %.2f (%.2f) of the eager one\n", ratio(lazy, took["restore ours"], 50), ratio(lazy, took["restore ours"], 10))
	}
}
