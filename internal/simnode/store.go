package simnode

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
)

// Disk is what outlives agents of their records: the very bytes that would be in files.
type Disk struct {
	// Wrote is told of every record that can be read from now on, and of every one that is gone.
	Wrote func(name string, r *record.Record)

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
	switch r, err := record.Decode(name, d.files[name]); {
	case err == nil:
		d.wrote(name, &r)
	case !errors.Is(err, record.ErrNewer):
		d.wrote(name, nil)
	}
}

func (d *Disk) wrote(name string, r *record.Record) {
	if d.Wrote != nil {
		d.Wrote(name, r)
	}
}

// Hold makes a name's record one of a newer agent, or what it was before. It tells whether there is one.
func (d *Disk) Hold(name string, newer bool) bool {
	d.mu.Lock()
	_, err := record.Decode(name, d.files[name])
	d.mu.Unlock()
	ok := err == nil || errors.Is(err, record.ErrNewer)
	schemas := [][]byte{fmt.Appendf(nil, `"schema":%d,`, record.Schema), []byte(`"schema":99,`)}
	if !newer {
		slices.Reverse(schemas)
	}
	if ok {
		d.Change(name, func(data []byte) []byte { return bytes.Replace(data, schemas[0], schemas[1], 1) })
	}
	return ok
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
			s.disk.wrote(r.Name, &r)
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
		s.disk.wrote(name, nil)
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
