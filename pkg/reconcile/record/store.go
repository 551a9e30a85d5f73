package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The names of files in an inventory.
const (
	suffix       = ".json"
	suffixNew    = ".new"  // being written; left behind by a crash
	suffixBroken = ".torn" // set aside because it could not be read; the newest one of each name is kept
	drainFile    = "drained"
)

// Store keeps records in a directory, one file a name. Records of different names may be written in parallel.
type Store struct {
	dir *os.Root
	// sync makes files durable; a test of many files does without.
	sync bool
}

// Open makes the directory of a store, mode 0700, where it is missing, and opens it.
func Open(path string) (*Store, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the inventory: %w", err)
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the inventory: %w", err)
	}
	return &Store{dir: dir, sync: true}, nil
}

// Close lets go of the directory.
func (s *Store) Close() error { return s.dir.Close() }

// Inventory is what Load found.
type Inventory struct {
	Records map[string]Record
	// Drain tells whether the node is drained.
	Drain Drain
	// Held are names to be left alone, with the reason: their records could not be read now, or were written by a newer version.
	Held map[string]error
	// Problems are files that could not be used and were set aside.
	Problems []error
}

// Load reads all records. A file that holds no record is set aside and reported; one that cannot be read stays, and holds its name. Only
// an unreadable directory is an error.
func (s *Store) Load() (Inventory, error) {
	inv := Inventory{Records: map[string]Record{}, Held: map[string]error{}}
	entries, err := fs.ReadDir(s.dir.FS(), ".")
	if err != nil {
		return inv, fmt.Errorf("cannot list the inventory: %w", err)
	}
	for _, entry := range entries {
		name, isRecord := strings.CutSuffix(entry.Name(), suffix)
		switch {
		case isRecord && spec.ValidName(name) == nil:
			inv.load(s, name)
		case strings.HasSuffix(entry.Name(), suffixNew):
			inv.note(s.dir.Remove(entry.Name()))
		case entry.Name() == drainFile:
			inv.loadDrain(s)
		}
	}
	return inv, nil
}

// loadDrain reads whether the node is drained. A file that says nothing clear says that it is: nothing is started by mistake.
func (inv *Inventory) loadDrain(s *Store) {
	data, err := s.read(drainFile)
	if err == nil {
		err = json.Unmarshal(data, &inv.Drain)
	}
	if err != nil {
		inv.note(fmt.Errorf("%s: %w\nhint: `reconciler undrain` ends it", drainFile, err))
	}
	if inv.Drain.IsZero() {
		inv.Drain = Drain{Since: time.Now().Round(0).UTC()}
	}
}

// SaveDrain writes down that the node is drained, or for the zero value that it is not.
func (s *Store) SaveDrain(d Drain) error {
	if d.IsZero() {
		return errors.Join(s.remove(drainFile), s.syncDir())
	}
	data, err := json.Marshal(d)
	if err == nil {
		err = s.replace(drainFile, drainFile+suffixNew, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot write down that the node is drained: %w", err)
	}
	return nil
}

func (inv *Inventory) load(s *Store, name string) {
	data, err := s.read(name + suffix)
	if err != nil && !errors.Is(err, errNoFile) {
		inv.Held[name] = fmt.Errorf("cannot read the record of %q: %w\nhint: restart the agent when the file can be read", name, err)
		return
	}
	var r Record
	if err == nil {
		r, err = Decode(name, data)
	}
	switch {
	case err == nil:
		inv.Records[name] = r
	case errors.Is(err, ErrNewer):
		inv.Held[name] = fmt.Errorf("record of %q: %w", name, err)
	default:
		inv.note(fmt.Errorf("record of %q: %w", name, err))
		inv.note(s.dir.Rename(name+suffix, name+suffixBroken))
	}
}

func (inv *Inventory) note(err error) {
	if err != nil {
		inv.Problems = append(inv.Problems, err)
	}
}

// errNoFile tells that what bears a record's name can hold none.
var errNoFile = errors.New("it is no regular file")

// read reads a regular file and nothing else, without waiting for whoever is at the other end of a pipe.
func (s *Store) read(file string) ([]byte, error) {
	info, err := s.dir.Lstat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNoFile
	}
	f, err := s.dir.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// Save writes a record so that after a crash at any moment, of the power as well, either it or the one before is there.
func (s *Store) Save(r Record) error {
	data, err := Encode(r)
	if err != nil {
		return err
	}
	if err := s.replace(r.Name+suffix, r.Name+suffixNew, data); err != nil {
		return fmt.Errorf("cannot save the record of %q: %w", r.Name, err)
	}
	return nil
}

// replace writes a file by way of another.
func (s *Store) replace(file, temp string, data []byte) error {
	if err := s.write(temp, data); err != nil {
		return errors.Join(err, s.remove(temp))
	}
	if err := s.dir.Rename(temp, file); err != nil {
		return errors.Join(err, s.remove(temp))
	}
	return s.syncDir()
}

func (s *Store) write(file string, data []byte) (err error) {
	f, err := s.dir.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil || !s.sync {
		return err
	}
	return f.Sync()
}

// Delete forgets a name; one that is not there is no error.
func (s *Store) Delete(name string) error {
	if err := s.remove(name + suffix); err != nil {
		return fmt.Errorf("cannot delete the record of %q: %w", name, err)
	}
	return s.syncDir()
}

func (s *Store) remove(file string) error {
	if err := s.dir.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes renames and removals durable: see fsync(2), on the directory entry.
func (s *Store) syncDir() error {
	if !s.sync {
		return nil
	}
	dir, err := s.dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Path is where the store is, for people.
func (s *Store) Path() string { return filepath.Clean(s.dir.Name()) }
