package survey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// An image has no bytes of the programs and libraries that its processes execute: they come from the files again, of which criu compares the size, and the build
// identification if there is one. One that was built anew may have both as before.

// Programs are what processes execute, by path as they see it.
type Programs map[string]Program

// Program is a file as it was looked at.
type Program struct {
	Sum  string // SHA-256, in hexadecimal
	mark mark
}

// mark tells whether a file is the one that was looked at, and still as it was.
type mark struct {
	inode   uint64
	size    int64
	changed unix.Timespec
}

// Look adds what processes execute of files that have a name below their root. What is known already is not read again, unless it has changed.
func (p Programs) Look(ctx context.Context, root *os.File, pids []int) error {
	for _, pid := range pids {
		if err := p.look(ctx, root, pid); err != nil && !Gone(err) {
			return fmt.Errorf("process %d (%s): cannot tell what it executes: %w", pid, comm(pid), err)
		}
	}
	return nil
}

func (p Programs) look(ctx context.Context, root *os.File, pid int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		path, inode, ok := executed(line)
		if !ok || seen[path] {
			continue
		}
		seen[path] = true
		program, err := p.read(ctx, root, path, inode)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has another name by now, or is from outside
		}
		if err != nil {
			return err
		}
		p[path] = program
	}
	return nil
}

// executed reads a line of /proc/PID/maps, see proc_pid_maps(5).
func executed(line string) (path string, inode uint64, ok bool) {
	var addresses, permissions, offset, device string
	if _, err := fmt.Sscan(line, &addresses, &permissions, &offset, &device, &inode); err != nil || len(permissions) < 3 || permissions[2] != 'x' || inode == 0 {
		return "", 0, false
	}
	at := strings.IndexByte(line, '/')
	if at < 0 {
		return "", 0, false
	}
	path = strings.TrimSuffix(line[at:], "\n")
	return path, inode, !strings.HasSuffix(path, " (deleted)") && !strings.HasPrefix(path, "/memfd:")
}

// read reads a program that is the file with an inode, or any for 0, below a root.
func (p Programs) read(ctx context.Context, root *os.File, path string, inode uint64) (Program, error) {
	// Whatever has that name now: to open a device may do something.
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(root.Fd()), path, &how)
	if err != nil {
		return Program{}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Program{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxProgram || inode != 0 && st.Ino != inode {
		return Program{}, fs.ErrNotExist
	}
	now := Program{mark: mark{st.Ino, st.Size, st.Ctim}}
	if known, ok := p[path]; ok && known.mark == now.mark {
		return known, nil
	}
	if !p.hasRoom(st.Size) {
		return Program{}, unsupported("it executes too much to tell what it was")
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return Program{}, err
	}
	defer f.Close()
	hash := sha256.New()
	for err == nil {
		if ctx.Err() != nil {
			return Program{}, context.Cause(ctx)
		}
		_, err = io.CopyN(hash, f, 16<<20)
	}
	if err != io.EOF {
		return Program{}, err
	}
	now.Sum = hex.EncodeToString(hash.Sum(nil))
	return now, nil
}

// maxProgram is the largest file that is read; nobody has one so large. maxPrograms and maxBytes bound all of them.
const (
	maxProgram  = 4 << 30
	maxPrograms = 1 << 14
	maxBytes    = 8 << 30
)

// hasRoom tells whether one more may be read.
func (p Programs) hasRoom(size int64) bool {
	for _, other := range p {
		size += other.mark.size
	}
	return len(p) < maxPrograms && size <= maxBytes
}

// Sums are the sums alone.
func (p Programs) Sums() map[string]string {
	sums := map[string]string{}
	for path, program := range p {
		sums[path] = program.Sum
	}
	return sums
}

// CheckPrograms compares programs in a tree that stands at a stage in a process's mount namespace with what they are to be: fs.ErrInvalid.
func CheckPrograms(ctx context.Context, stage string, pid int, sums map[string]string) error {
	root, err := os.OpenFile(filepath.Join(fmt.Sprintf("/proc/%d/root", pid), stage), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	for path, want := range sums {
		got, err := Programs{}.read(ctx, root, path, 0)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%s is gone since the image was taken: %w", path, fs.ErrInvalid)
		case err != nil:
			return err
		case got.Sum != want:
			return fmt.Errorf("%s is another program than when the image was taken: %w", path, fs.ErrInvalid)
		}
	}
	return nil
}
