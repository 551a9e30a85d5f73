package meter

import (
	"math"

	"github.com/seed31d4122e/reconciler/pkg/metric"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// budget bounds how many containers have figures of their own. Who has some keeps them until it is gone; the others are added up. What is added up only grows where
// it should: a container that goes, or begins anew, takes nothing from the sum.
type budget struct {
	most   int
	own    map[string]bool
	lines  []line // of those that have their own, by name
	others map[string]*figures
	kept   figures         // what those that are gone had come to
	known  map[string]bool // at this scrape
}

// line is the figures of one container.
type line struct {
	name string
	*figures
}

func newBudget(most int) budget {
	return budget{most: most, own: map[string]bool{}, others: map[string]*figures{}}
}

// begin begins a scrape with the containers that there are.
func (b *budget) begin(objects []spec.Object) {
	b.known = make(map[string]bool, len(objects))
	b.lines = nil
	for i := range objects {
		b.known[objects[i].Metadata.Name] = true
	}
	for name := range b.own {
		if !b.known[name] {
			delete(b.own, name)
		}
	}
}

// add adds a container.
func (b *budget) add(name string, f *figures) {
	if b.own[name] || len(b.own) < b.most {
		b.own[name] = true
		b.lines = append(b.lines, line{name, f})
		return
	}
	if before := b.others[name]; before != nil {
		for i, was := range before {
			switch {
			case math.IsNaN(was) || containerRows[i].is != counter:
			case math.IsNaN(f[i]):
				f[i] = was
			case f[i] < was:
				b.kept[i] += was
			}
		}
	}
	b.others[name] = f
}

// end ends a scrape; it tells how many have their own figures, and how many are added up.
func (b *budget) end() (alone, together int) {
	for name, f := range b.others {
		if b.known[name] && !b.own[name] {
			continue
		}
		for i, v := range f {
			if containerRows[i].is == counter && !math.IsNaN(v) {
				b.kept[i] += v
			}
		}
		delete(b.others, name)
	}
	return len(b.lines), len(b.others)
}

// write writes all families of containers.
func (b *budget) write(t *metric.Text) {
	for i, row := range containerRows {
		t.Begin("reconciler_container_"+row.name, row.is, row.help, "name")
		for _, l := range b.lines {
			if !math.IsNaN(l.figures[i]) {
				t.Sample(l.figures[i], l.name)
			}
		}
		if total, ok := b.sum(i); ok {
			t.Sample(total, Others)
		}
	}
}

// sum is what all others have come to of a figure.
func (b *budget) sum(i int) (total float64, ok bool) {
	if containerRows[i].single || len(b.others) == 0 && b.kept[i] == 0 {
		return 0, false
	}
	total = b.kept[i]
	for _, f := range b.others {
		if !math.IsNaN(f[i]) {
			total += f[i]
		}
	}
	return total, true
}
