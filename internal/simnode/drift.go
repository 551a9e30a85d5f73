package simnode

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// errUnrepaired is what a machine says that does not let drift be repaired.
var errUnrepaired = errors.New("operation not permitted")

// Drift shows what somebody changed by hand.
func (n *Node) Drift(ctx context.Context, name string, id uint64) (all []spec.Drift, err error) {
	err = n.do(ctx, "Drift", name, func() error { all, err = n.machine.drift(name, id); return err })
	return all, err
}

// Repair puts it back.
func (n *Node) Repair(ctx context.Context, name string, id uint64, fields ...string) error {
	return n.do(ctx, "Repair", name, func() error { return n.machine.repair(name, id, fields) })
}

func (m *Machine) drift(name string, id uint64) ([]spec.Drift, error) {
	in, err := m.usable(name, id)
	if err != nil || !live(in) {
		return nil, err
	}
	return slices.Clone(in.drifts), nil
}

func (m *Machine) repair(name string, id uint64, fields []string) error {
	in, err := m.usable(name, id)
	if err != nil || !live(in) {
		return err
	}
	m.judge("Repair", name, id)
	switch m.unrepaired[name] {
	case Refused:
		return errUnrepaired
	case Undone:
		return nil
	}
	in.drifts = slices.DeleteFunc(in.drifts, func(d spec.Drift) bool { return d.Repairable && slices.Contains(fields, d.Field) })
	return nil
}

// Stray changes a field of what runs of a name by hand, with nobody told; what is found to be as wanted is put back by hand.
func (m *Machine) Stray(name string, d spec.Drift) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.instances[name] {
		in.drifts = slices.DeleteFunc(in.drifts, func(old spec.Drift) bool { return old.Field == d.Field })
		if d.Found != d.Wanted && live(in) {
			in.drifts = append(in.drifts, d)
		}
	}
}

// Strayed says what runs and has something that could have been repaired. Names of skip are left out.
func (m *Machine) Strayed(skip ...string) (list []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.names() {
		for _, in := range m.instances[name] {
			for _, d := range in.drifts {
				if d.Repairable && !slices.Contains(skip, name) && live(in) && len(m.instances[name]) == 1 { // one of several makes room for the last
					list = append(list, fmt.Sprintf("%s/%d: %s", name, in.ID, d))
				}
			}
		}
	}
	return list
}

// Mending is what comes of repairs.
type Mending int

// What comes of them: they last, are refused, or are undone at once by whoever changed it before.
const (
	Lasting Mending = iota
	Refused
	Undone
)

// Mend says what comes of repairs of what drifts of a name.
func (m *Machine) Mend(name string, of Mending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unrepaired[name] = of
}
