package simnode

import (
	"errors"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
)

// Disk is what outlives agents of their records: the very bytes that would be in files.
type Disk struct {
	mu    sync.Mutex
	files map[string][]byte
	drain record.Drain
}

// NewDisk is an empty disk.
func NewDisk() *Disk { return &Disk{files: map[string][]byte{}} }

// Tear cuts a name's record in half.
func (d *Disk) Tear(name string) {
	d.Change(name, func(data []byte) []byte { return data[:len(data)/2] })
}

// Change changes the bytes of a name's record by hand.
func (d *Disk) Change(name string, change func([]byte) []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name] = change(d.files[name])
}

// Names are the names with a record.
func (d *Disk) Names() (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.files {
		names = append(names, name)
	}
	return names
}

// Store is one agent's session with a disk.
type Store struct {
	disk *Disk
	node *Node // whose death ends the session as well, and whose faults it shares; nil for none
}

// Store gives an agent access to the disk; it ends with the agent's session with its machine.
func (d *Disk) Store(node *Node) *Store { return &Store{disk: d, node: node} }

// Load reads all records.
func (s *Store) Load() (record.Inventory, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	inv := record.Inventory{Records: map[string]record.Record{}, Held: map[string]error{}, Drain: s.disk.drain}
	for name, data := range s.disk.files {
		r, err := record.Decode(name, data)
		switch {
		case err == nil:
			inv.Records[name] = r
		case errors.Is(err, record.ErrNewer):
			inv.Held[name] = err
		default:
			inv.Problems = append(inv.Problems, err)
		}
	}
	return inv, nil
}

// Save writes a record, or fails, or dies before or after.
func (s *Store) Save(r record.Record) error {
	return s.do("Save", r.Name, func() error {
		data, err := record.Encode(r)
		if err == nil {
			s.disk.files[r.Name] = data
		}
		return err
	})
}

// SaveDrain writes down whether the node is drained.
func (s *Store) SaveDrain(d record.Drain) error {
	return s.do("Save", "drained", func() error {
		s.disk.drain = d
		return nil
	})
}

// Delete forgets a record.
func (s *Store) Delete(name string) error {
	return s.do("Delete", name, func() error {
		delete(s.disk.files, name)
		return nil
	})
}

func (s *Store) do(verb, name string, effect func() error) error {
	var f fate
	if s.node != nil {
		if s.node.dead.Load() {
			return ErrDead
		}
		f = s.node.faults.next(verb, name)
	}
	switch f.before {
	case faultError:
		return errFault
	case faultDeath:
		s.node.Die()
		return ErrDead
	}
	s.disk.mu.Lock()
	err := effect()
	s.disk.mu.Unlock()
	if f.after == faultDeath {
		s.node.Die()
		return ErrDead
	}
	return err
}
