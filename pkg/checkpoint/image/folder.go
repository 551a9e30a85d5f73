package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// folder is an open directory. What is below it is reached without leaving it, following a link or crossing a mount.
type folder struct {
	dir *os.File
	// trip is asked before each change of the disk, by its name. A test makes a step fail, or the process end there.
	trip func(step string) error
}

// openTries bounds how often renames may race with one lookup.
const openTries = 128

// open opens a file or directory beneath the folder.
func (f folder) open(name string, flags int, mode uint64) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Mode:    mode,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	for try := 1; ; try++ {
		fd, err := unix.Openat2(int(f.dir.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), f.path(name)), nil
		case try < openTries && (errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN)): // a rename somewhere raced with the lookup
		default:
			return nil, &os.PathError{Op: "open", Path: f.path(name), Err: err}
		}
	}
}

func (f folder) path(name string) string { return path.Join(f.dir.Name(), name) }

// step says that the disk is about to be changed.
func (f folder) step(op, name string) error {
	if f.trip == nil {
		return nil
	}
	if err := f.trip(op + " " + name); err != nil {
		return &os.PathError{Op: op, Path: f.path(name), Err: err}
	}
	return nil
}

// sub opens a directory beneath.
func (f folder) sub(name string) (folder, error) {
	dir, err := f.open(name, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	return folder{dir, f.trip}, err
}

// mkdir makes a directory of the folder itself; one that is there is fs.ErrExist.
func (f folder) mkdir(name string, mode uint32) error {
	if err := f.step("mkdir", name); err != nil {
		return err
	}
	if err := unix.Mkdirat(int(f.dir.Fd()), name, mode); err != nil {
		return &os.PathError{Op: "mkdir", Path: f.path(name), Err: err}
	}
	return nil
}

// create makes a new file beneath.
func (f folder) create(name string) (*os.File, error) {
	if err := f.step("create", name); err != nil {
		return nil, err
	}
	return f.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
}

// regular opens a file beneath for reading, and nothing but a file: it does not wait for a FIFO.
func (f folder) regular(name string) (*os.File, unix.Stat_t, error) {
	var stat unix.Stat_t
	file, err := f.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EXDEV) {
		err = fmt.Errorf("%s is not a file of an image: %w", f.path(name), fs.ErrInvalid)
	}
	if err != nil {
		return nil, stat, err
	}
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return nil, stat, errors.Join(err, file.Close())
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, stat, errors.Join(fmt.Errorf("%s is not a file of an image: %w", f.path(name), fs.ErrInvalid), file.Close())
	}
	return file, stat, nil
}

// read reads a file beneath of at most so many bytes.
func (f folder) read(name string, limit int64) ([]byte, unix.Stat_t, error) {
	file, stat, err := f.regular(name)
	if err != nil {
		return nil, stat, err
	}
	defer file.Close()
	if stat.Size > limit {
		return nil, stat, fmt.Errorf("%s has %d bytes, more than %d: %w", f.path(name), stat.Size, limit, fs.ErrInvalid)
	}
	data, err := io.ReadAll(io.LimitReader(file, limit))
	return data, stat, err
}

// write makes a new file with a text and syncs it. A file that could not be written is not left.
func (f folder) write(name string, data []byte) error {
	file, err := f.create(name)
	if err != nil {
		return err
	}
	err = f.step("write", name)
	if err == nil {
		_, err = file.Write(data)
	}
	if err == nil {
		err = f.syncFile(file, name)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, f.unlink(name))
	}
	return nil
}

// replace puts a file with a text in the place of another at once, by way of NAME.new.
func (f folder) replace(name string, data []byte) error {
	if err := f.unlink(name + newSuffix); err != nil {
		return err
	}
	if err := f.write(name+newSuffix, data); err != nil {
		return err
	}
	if err := f.rename(name+newSuffix, name); err != nil {
		return errors.Join(err, f.unlink(name+newSuffix))
	}
	return f.sync()
}

// symlink makes links: for each name, what it leads to.
func (f folder) symlink(targets map[string]string) error {
	for name, target := range targets {
		below, err := f.sub(path.Dir(name))
		if err != nil {
			return err
		}
		if err := errors.Join(unix.Symlinkat(target, int(below.dir.Fd()), path.Base(name)), below.close()); err != nil {
			return err
		}
	}
	return nil
}

// rename renames an entry of the folder itself.
func (f folder) rename(from, to string) error {
	if err := f.step("rename", to); err != nil {
		return err
	}
	if err := unix.Renameat(int(f.dir.Fd()), from, int(f.dir.Fd()), to); err != nil {
		return &os.PathError{Op: "rename", Path: f.path(from), Err: err}
	}
	return nil
}

// unlink removes a file of the folder itself. One that is not there is no error.
func (f folder) unlink(name string) error { return f.drop(name, 0) }

// dropRecord removes an image's record, whatever somebody has put in its place.
func (f folder) dropRecord() error {
	err := f.unlink(recordName)
	if errors.Is(err, unix.EISDIR) {
		return f.removeAll(recordName)
	}
	return err
}

// rmdir removes an empty directory of the folder itself. One that is not there is no error.
func (f folder) rmdir(name string) error { return f.drop(name, unix.AT_REMOVEDIR) }

func (f folder) drop(name string, flags int) error {
	if err := f.step("remove", name); err != nil {
		return err
	}
	if err := unix.Unlinkat(int(f.dir.Fd()), name, flags); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: f.path(name), Err: err}
	}
	return nil
}

// sync writes the folder's own entries to the disk.
func (f folder) sync() error { return f.syncFile(f.dir, ".") }

func (f folder) syncFile(file *os.File, name string) error {
	if err := f.step("sync", name); err != nil {
		return err
	}
	return file.Sync()
}

// entry is one name in a folder.
type entry struct {
	name string
	mode fs.FileMode // its type only
}

// entries lists the folder.
func (f folder) entries() ([]entry, error) {
	// A descriptor of its own has an offset of its own.
	dir, err := f.open(".", unix.O_DIRECTORY|unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	read, err := dir.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(read) > maxEntries {
		return nil, fmt.Errorf("%s has more than %d entries: %w", f.dir.Name(), maxEntries, fs.ErrInvalid)
	}
	list := make([]entry, len(read))
	for i, e := range read {
		list[i] = entry{e.Name(), e.Type()}
	}
	return list, nil
}

// maxDepth bounds how deep a directory may be that is removed.
const maxDepth = 64

// removeAll removes an entry of the folder itself and everything below it: links as links, and nothing that is mounted there.
func (f folder) removeAll(name string) error { return f.removeTree(name, maxDepth) }

func (f folder) removeTree(name string, depth int) error {
	err := unix.Unlinkat(int(f.dir.Fd()), name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) || depth == 0 {
		return &os.PathError{Op: "remove", Path: f.path(name), Err: err}
	}
	below, err := f.sub(name)
	if err != nil {
		return err
	}
	defer below.close()
	for {
		names, readErr := below.dir.Readdirnames(1000)
		for _, n := range names {
			if err := below.step("remove", n); err != nil {
				return err
			}
			if err := below.removeTree(n, depth-1); err != nil {
				return err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return f.rmdir(name)
		}
		if readErr != nil {
			return readErr
		}
	}
}

func (f folder) close() error { return f.dir.Close() }
