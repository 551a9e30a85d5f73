package image

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Store is a directory of images. Its methods may be called at the same time; one directory has one Store at a time, whoever opens it.
type Store struct {
	root folder
	lock *os.File
	now  func() time.Time

	beginning sync.Mutex // held while a Writer's directory has no lock yet
	pruning   sync.Mutex // held while images are chosen and removed

	mu sync.Mutex
	// known are the records that were read, by ref.
	known map[string]known
	// pending are images of sets that are being committed: on disk, and not yet there.
	pending map[string]bool
	// users are how many use an image, by ref. The locks on the disk say the same to other processes, but cannot be asked without being taken.
	users map[string]int
	// verified are the large files whose bytes were read and found right since the machine started, by container.
	verified map[string]*verified
	boot     string
	swept    error
}

// known is a record that was read, and from which file: one that has changed since is read again.
type known struct {
	from    stamp
	record  *record
	problem string
	// spoiled says why the image was refused when it was looked at closely.
	spoiled string
}

// Open opens a directory of images and makes it when it is not there. What a crash has left there goes. It is spec.ErrBusy while another Store has it.
func Open(dir string) (*Store, error) { return openStore(dir, nil) }

func openStore(dir string, trip func(string) error) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of images: %w", err)
	}
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the directory of images: %w", err)
	}
	s := &Store{
		root: folder{f, trip}, now: time.Now, boot: bootID(),
		known: map[string]known{}, pending: map[string]bool{}, users: map[string]int{}, verified: map[string]*verified{},
	}
	if err := s.lockIt(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err = f.Chmod(0o700); err == nil {
		err = s.sweep()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the directory of images: %w", err), s.Close())
	}
	return s, nil
}

// lockIt keeps others from using the directory meanwhile.
func (s *Store) lockIt() error {
	lock, err := s.root.open(lockName, unix.O_RDWR|unix.O_CREAT|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return fmt.Errorf("cannot lock the directory of images: %w", err)
	}
	if err := flock(lock, unix.LOCK_EX); err != nil {
		return errors.Join(fmt.Errorf("cannot lock the directory of images %s: %w", s.root.dir.Name(), err), lock.Close())
	}
	s.lock = lock
	return nil
}

// flock takes a lock without waiting. One that another holds is spec.ErrBusy.
func flock(f *os.File, how int) error {
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return spec.ErrBusy
	}
	return err
}

// Close ends the use of the directory. Writers and Readers end by their own Close.
func (s *Store) Close() error { return errors.Join(s.lock.Close(), s.root.close()) }

// List gives the images of one container, or of all for "", oldest first. One that cannot be used says why in Problem; no byte of an image is
// read for that, see Reader.Verify.
func (s *Store) List(container string) ([]spec.Image, error) {
	names := []string{container}
	if container == "" {
		entries, err := s.root.entries()
		if err != nil {
			return nil, fmt.Errorf("cannot list images: %w", err)
		}
		names = containersOf(entries)
	}
	var list []spec.Image
	for _, name := range names {
		images, err := s.list(name)
		if err != nil {
			return nil, fmt.Errorf("cannot list the images of %q: %w", name, err)
		}
		list = append(list, images...)
	}
	sort.SliceStable(list, func(i, j int) bool {
		return cmp.Or(strings.Compare(list[i].ID, list[j].ID), strings.Compare(list[i].Container, list[j].Container)) < 0
	})
	return list, nil
}

// containersOf are the entries that are directories of containers.
func containersOf(entries []entry) (names []string) {
	for _, e := range entries {
		if e.mode.IsDir() && containerName.MatchString(e.name) {
			names = append(names, e.name)
		}
	}
	return names
}

// list gives the images of one container.
func (s *Store) list(container string) ([]spec.Image, error) {
	if !containerName.MatchString(container) {
		return nil, nil
	}
	dir, err := s.root.sub(container)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.close()
	entries, err := dir.entries()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []spec.Image
	for _, e := range entries {
		if !e.mode.IsDir() || !idName.MatchString(e.name) || s.pending[container+"/"+e.name] {
			continue
		}
		k, err := s.look(dir, container, e.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no record: it is on its way out
		}
		if err != nil {
			return nil, err
		}
		list = append(list, k.image(container, e.name))
	}
	return list, nil
}

// image is an image as it is shown.
func (k known) image(container, id string) spec.Image {
	i := spec.Image{Container: container, ID: id}
	if k.record != nil {
		i = k.record.Image
	}
	i.Problem = cmp.Or(k.problem, k.spoiled)
	return i
}

// look reads the record of an image, unless it is known. A record that is of no use is no error, but its problem. s.mu is held.
func (s *Store) look(dir folder, container, id string) (known, error) {
	ref := container + "/" + id
	now, err := statAt(dir, id+"/"+recordName)
	if errors.Is(err, fs.ErrInvalid) {
		return known{problem: "the record is not a file"}, nil
	}
	if err != nil {
		delete(s.known, ref)
		return known{}, err
	}
	if k, ok := s.known[ref]; ok && k.from == now {
		return k, nil
	}
	k := known{from: now}
	text, stat, err := dir.read(id+"/"+recordName, maxRecord)
	if err == nil {
		k.from = stampOf(stat)
		k.record, err = decode(text)
	}
	if err == nil && k.record.Image.Ref() != ref {
		err = fmt.Errorf("the record is of %s: %w", k.record.Image.Ref(), fs.ErrInvalid)
		k.record = nil
	}
	if err == nil {
		err = sizes(dir, id, k.record)
	}
	// Somebody may remove or rewrite the image at this moment: then its files are of another record.
	if again, statErr := statAt(dir, id+"/"+recordName); err != nil && (statErr != nil || again != k.from) {
		return s.look(dir, container, id)
	}
	if err != nil && !errors.Is(err, fs.ErrInvalid) {
		return known{}, err
	}
	if err != nil {
		k.problem = problemOf(err)
	}
	s.known[ref] = k
	return k, nil
}

// problemOf is an error as it is shown beside an image, which says what it is of.
func problemOf(err error) string { return strings.TrimSuffix(err.Error(), ": "+fs.ErrInvalid.Error()) }

// sizes compares the sizes of an image's files with its record.
func sizes(dir folder, id string, r *record) error {
	for _, f := range r.Files {
		want := f.stored()
		st, err := statAt(dir, id+"/"+want.Path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			return fmt.Errorf("%s is missing: %w", want.Path, fs.ErrInvalid)
		}
		if err != nil {
			return err
		}
		if st.Size != want.Size {
			return fmt.Errorf("%s has %d bytes, not %d: %w", want.Path, st.Size, want.Size, fs.ErrInvalid)
		}
	}
	return nil
}

// spoil remembers that an image was refused, and forgets it when err is nil.
func (s *Store) spoil(ref string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.known[ref]
	if !ok {
		return
	}
	k.spoiled = ""
	if err != nil {
		k.spoiled = problemOf(err)
	}
	s.known[ref] = k
}

// Remove removes an image. One that is in use is spec.ErrBusy, one that is not there no error.
func (s *Store) Remove(ref string) error {
	container, id, err := splitRef(ref)
	if err != nil {
		return err
	}
	if err := s.remove(container, id); err != nil {
		return fmt.Errorf("cannot remove the image %s: %w", ref, err)
	}
	return nil
}

func (s *Store) remove(container, id string) error {
	dir, err := s.root.sub(container)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.close()
	image, err := dir.sub(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer image.close() // and with it the lock
	if err := flock(image.dir, unix.LOCK_EX); err != nil {
		return err
	}
	s.forget(container + "/" + id)
	// Without its record it is no image any more, whatever happens to the rest.
	if err := image.dropRecord(); err != nil {
		return err
	}
	if err := image.sync(); err != nil {
		return err
	}
	if err := dir.removeAll(id); err != nil {
		return err
	}
	s.unverify(container, id)
	return s.tidy(container, dir)
}

// tidy removes the directory of a container without images.
func (s *Store) tidy(container string, dir folder) error {
	entries, err := dir.entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.name != verifiedName && e.name != verifiedName+newSuffix {
			return nil
		}
	}
	for _, e := range entries {
		if err := dir.unlink(e.name); err != nil {
			return err
		}
	}
	// Somebody may begin an image at this moment: then it is not empty, and stays.
	if err := s.root.rmdir(container); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func (s *Store) forget(ref string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, ref)
}
