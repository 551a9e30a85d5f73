package reconcile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
)

// planner goes the way of a manifest from its file to the actions it asks for, as the agent does after each scan.
type planner struct {
	b         *testing.B
	dir       *source.Dir
	admission reconcile.Admission
}

func newPlanner(b *testing.B, path string) *planner {
	dir, err := source.New(path, source.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return &planner{b: b, dir: dir}
}

// round reads the directory, admits what it says and plans for each name whose manifest is news; it has to be so many.
func (p *planner) round(news int) (took time.Duration) {
	began := time.Now()
	snapshot := p.dir.Scan(p.b.Context(), false)
	if !snapshot.OK() {
		p.b.Fatal(snapshot.Err)
	}
	before := p.admission
	p.admission = reconcile.Admit(reconcile.Request{
		Snapshots: []reconcile.Snapshot{snapshot}, Incumbents: before.Desired, Missing: before.Missing,
	})
	planned := 0
	for name, d := range p.admission.Desired {
		if before.Desired[name] == d {
			continue
		}
		if actions := reconcile.Plan(reconcile.Subject{Name: name, Desired: d}, epoch).Actions; len(actions) > 0 {
			planned++
		}
	}
	took = time.Since(began)
	if planned != news {
		p.b.Fatalf("planned for %d names, want %d", planned, news)
	}
	return took
}

// BenchmarkTenThousand is 10,000 manifests from their files to a plan: all of them new, none changed, one changed.
func BenchmarkTenThousand(b *testing.B) {
	const n = 10_000
	path := b.TempDir()
	write := func(i, seconds int) {
		name := fmt.Sprintf("c%05d", i)
		text := fmt.Appendf(nil, strings.Replace(someManifest, "1000000", "%d", 1), name, seconds)
		if err := os.WriteFile(filepath.Join(path, name+".yaml"), text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		write(i, 0)
	}
	var cold, rescan, change time.Duration
	rounds := 0
	for b.Loop() {
		time.Sleep(100 * time.Millisecond) // a change this young may hide another, so that its file is read again
		p := newPlanner(b, path)
		cold += p.round(n)
		rescan += p.round(0)
		rounds++
		write(rounds%n, rounds)
		change += p.round(1)
	}
	for unit, total := range map[string]time.Duration{"ms-cold": cold, "ms-rescan": rescan, "ms-one-change": change} {
		b.ReportMetric(float64(total)/float64(time.Millisecond)/float64(rounds), unit)
	}
}
