package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// file is a manifest file as it was last read.
type file struct {
	status    status
	signature status // of the file with its signature
	readAt    time.Time
	sum       [sha256.Size]byte // of both, and of what is beside it
	words     words
	beside    []neighbour
	decoded   *reconcile.File
	// writer tells that somebody could write to it while it was read. Who has mapped it into memory changes it without changing its times: of
	// each page only the first write counts, see file_update_time() in the kernel's mm/filemap.c.
	writer bool
	// open is what was read while somebody could still write, or without the signature that fits: it counts once it is read again unchanged.
	open *openRead
}

// openRead is one reading of a file with a writer.
type openRead struct {
	sum [sha256.Size]byte
	at  time.Time
}

// status is what tells that a file did not change.
type status struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
	mode, uid    uint32
}

func statusOf(st *unix.Stat_t) status {
	return status{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim, st.Mode, st.Uid}
}

const (
	// maxRead bounds what is read of a file: one byte more than a manifest may have.
	maxRead = 1<<20 + 1
	// racy is how young a change must be to hide another one with the same time stamp.
	racy = 50 * time.Millisecond
	// quiet is how long a file with a writer has to stay the same.
	quiet = time.Second
)

// extensions are those of manifests.
var extensions = []string{".yaml", ".yml", ".json"}

// IsManifest tells manifests by name from hidden files, editors' backups and everything else in a directory.
func IsManifest(name string) bool {
	return !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "#") && slices.Contains(extensions, filepath.Ext(name))
}

// manifestNames lists the manifests in a directory, sorted.
func manifestNames(dir *os.File) ([]string, error) {
	all, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(all, func(name string) bool { return !IsManifest(name) })
	slices.Sort(names)
	return names, nil
}

// readAll reads the named files. A file that vanishes meanwhile is left out.
func (d *Dir) readAll(dir *os.File, names []string, all bool) (files map[string]*file, unsettled bool) {
	files = make(map[string]*file, len(names))
	for _, name := range names {
		before := d.files[name]
		f, err := d.readOne(int(dir.Fd()), name, before, all)
		switch {
		case errors.Is(err, unix.ENOENT):
			continue
		case errors.Is(err, errOpen):
			unsettled = true
		case err != nil:
			f = d.refused(name, err, before)
		}
		files[name] = f
		unsettled = unsettled || f.open != nil
	}
	return files, unsettled
}

// errOpen tells that a file has a writer and may not be complete.
var errOpen = errors.New("it is being written")

var errIrregular = errors.New("it is no regular file")

// readOne reads a file, unless its status tells that it is as before. With errOpen the file is what was known before.
func (d *Dir) readOne(dir int, name string, before *file, all bool) (*file, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	linked := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if st.Mode&unix.S_IFMT == unix.S_IFREG && before.current(statusOf(&st), d.signatureStatus(dir, name)) && before.sameBeside(dir) && !all {
		return before, nil
	}
	fd, err := open(dir, name)
	if errors.Is(err, unix.ENOENT) && linked {
		return nil, errors.New("it is a symbolic link to nothing")
	}
	if errors.Is(err, errOpen) {
		return before.written(d.path, name, openRead{at: time.Now()}), errOpen
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if before.current(statusOf(&st), d.signatureStatus(dir, name)) && before.sameBeside(dir) && !all {
		return before, nil
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errIrregular
	}
	if err := d.trustFile(f, &st, name, linked); err != nil {
		return nil, err
	}
	return d.decode(dir, f, name, statusOf(&st), before)
}

// current tells whether a file with this status, and a signature with that one, still is what was read.
func (f *file) current(now, signature status) bool {
	if f == nil || f.open != nil || f.writer || f.status != now || f.signature != signature {
		return false
	}
	return f.after(now) && (signature == status{} || f.after(signature))
}

// after tells whether a file was read so long after a change that none can hide behind it.
func (f *file) after(changed status) bool {
	return f.readAt.Sub(time.Unix(changed.ctime.Unix())) > racy
}

// openTries bounds the tries to open a file: EAGAIN is a rename that raced, see openat2(2), or somebody's write lease, see fcntl(2), which
// the kernel breaks only after /proc/sys/fs/lease-break-time.
const openTries = 32

// open opens a file beneath the directory. Symbolic links may not lead out of it; opening never waits for the other end of a pipe.
func open(dir int, name string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	for try := 1; ; try++ {
		fd, err := unix.Openat2(dir, name, &how)
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) && try < openTries:
			continue
		case errors.Is(err, unix.EAGAIN):
			return -1, errOpen
		case errors.Is(err, unix.EXDEV):
			return -1, errors.New("it is a symbolic link that leads out of the directory")
		}
		return fd, err
	}
}

// decode reads an open file. While somebody has it open for writing it counts only when it was the same some time ago.
func (d *Dir) decode(dir int, f *os.File, name string, st status, before *file) (*file, error) {
	free, writer := lease(f)
	now := time.Now()
	data, err := io.ReadAll(io.LimitReader(f, maxRead))
	if free {
		release(f)
	}
	if err != nil {
		return nil, err
	}
	signed := d.signatureFor(dir, name)
	path, text := filepath.Join(d.path, name), words{sum: sumOf(data, signed)}
	var invalid error
	if before != nil && before.words.sum == text.sum {
		text = before.words
	} else if invalid = d.check(data, signed, now); invalid == nil {
		text.documents, text.problems = d.options.Decode(path, data)
	} else {
		text = words{}
	}
	beside := d.readBeside(dir, text.documents, now)
	sum := beside.sum(sumOf(data, signed))
	read := &file{status: st, signature: signed.status, readAt: now, sum: sum, writer: writer || beside.writer, words: text, beside: beside.files}
	known := before != nil && before.status != (status{}) && before.sum == sum
	if known {
		read.decoded = before.decoded
		return read, nil
	}
	if !free || !beside.free || beside.doubtful || invalid != nil { // a manifest and its signature come one after the other
		if before != nil && before.open != nil && before.open.sum == sum {
			if now.Sub(before.open.at) < quiet {
				return before, errOpen
			}
		} else {
			return before.written(d.path, name, openRead{sum, now}), errOpen
		}
	}
	if invalid != nil {
		read.decoded = d.unsigned(name, invalid)
		return read, nil
	}
	read.decoded = &reconcile.File{Path: path}
	read.decoded.Documents, read.decoded.Problems = beside.fill(path, text)
	return read, nil
}

// lease tells whether nobody can write to a file, and keeps writers waiting until release. See fcntl(2), F_SETLEASE: with a writer it
// fails with EAGAIN; where leases are not supported it fails as well, and nothing is known.
func lease(f *os.File) (free, writer bool) {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	return err == nil, errors.Is(err, unix.EAGAIN)
}

// release lets writers in; closing the file would do so as well.
func release(f *os.File) { _, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) }

// written is what is known of a file while it is written: what was read before, or that it is not complete yet.
func (f *file) written(dir, name string, read openRead) *file {
	next := file{open: &read}
	if f != nil {
		next.status, next.signature, next.readAt, next.sum, next.decoded = f.status, f.signature, f.readAt, f.sum, f.decoded
		next.words, next.beside = f.words, f.beside
	}
	if next.decoded == nil {
		next.decoded = problem(filepath.Join(dir, name), errOpen)
	}
	return &next
}

// refused is a file that cannot be read. What is said of it stays the same object while the reason stays the same.
func (d *Dir) refused(name string, err error, before *file) *file {
	decoded := problem(filepath.Join(d.path, name), err)
	if before != nil && len(before.decoded.Problems) == 1 && before.decoded.Problems[0] == decoded.Problems[0] {
		return before
	}
	return &file{decoded: decoded}
}

func problem(path string, err error) *reconcile.File {
	message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
	return &reconcile.File{Path: path, Problems: spec.Problems{{File: path, Line: 1, Column: 1, Message: fmt.Sprintf("cannot be read: %s", message), Hint: hint}}}
}

// hashOf is a hash of names and contents.
func hashOf(names []string, files map[string]*file) string {
	h := sha256.New()
	for _, name := range names {
		if f := files[name]; f != nil {
			h.Write([]byte(name))
			h.Write([]byte{0})
			h.Write(f.sum[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
