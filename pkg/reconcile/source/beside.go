package source

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// words is what the text of a manifest says, before the files beside it are read.
type words struct {
	sum       [sha256.Size]byte // of the text and its signature
	documents []spec.Document
	problems  spec.Problems
}

// beside are the files that a manifest names beside itself, as they were read.
type beside struct {
	files []neighbour
	data  map[string][]byte
	errs  map[string]error
	// free tells that nobody can write to any, writer that somebody can, doubtful that a signature may still come.
	free, writer, doubtful bool
}

// neighbour is what tells that a file beside a manifest did not change; the zero status is of none.
type neighbour struct {
	path   string
	status status
	readAt time.Time
}

// statusBeside is the status of a file wherever links lead, zero for none.
func statusBeside(dir int, path string) status {
	var st unix.Stat_t
	if unix.Fstatat(dir, path, &st, 0) != nil {
		return status{}
	}
	return statusOf(&st)
}

// sameBeside tells whether the files beside a manifest are what was read.
func (f *file) sameBeside(dir int) bool {
	return f == nil || !slices.ContainsFunc(f.beside, func(n neighbour) bool {
		return statusBeside(dir, n.path) != n.status || n.status != status{} && n.readAt.Sub(time.Unix(n.status.ctime.Unix())) <= racy
	})
}

// readBeside reads all that documents name. What cannot be read is said of the document that names it.
func (d *Dir) readBeside(dir int, documents []spec.Document, now time.Time) *beside {
	b := &beside{free: true, data: map[string][]byte{}, errs: map[string]error{}}
	for i := range documents {
		for _, path := range documents[i].Beside() {
			if _, ok := b.data[path]; !ok {
				b.files = append(b.files, neighbour{path, statusBeside(dir, path), now})
				b.data[path], b.errs[path] = b.read(d, dir, path)
				if b.errs[path] == nil {
					b.errs[path] = b.check(d, dir, path, now)
				}
			}
		}
	}
	return b
}

// read reads one file, which is refused for what a manifest is refused for.
func (b *beside) read(d *Dir, dir int, path string) ([]byte, error) {
	fd, err := open(dir, path)
	switch {
	case errors.Is(err, errOpen):
		b.free = false
		return nil, err
	case errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("%w\nhint: put it to %s", err, filepath.Join(d.path, path))
	case err != nil:
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errIrregular
	}
	if err := d.trustFile(f, &st, path, true); err != nil {
		return nil, err
	}
	free, writer := lease(f)
	defer release(f)
	b.free, b.writer = b.free && free, b.writer || writer
	return io.ReadAll(io.LimitReader(f, maxRead))
}

// check asks for the file's own signature where manifests need one: what a signed manifest names is as much of it as its text.
func (b *beside) check(d *Dir, dir int, path string, now time.Time) error {
	if d.options.Signers == nil {
		return nil
	}
	signed := d.signatureFor(dir, path)
	b.files = append(b.files, neighbour{path + signatureOf, signed.status, now})
	err := d.check(b.data[path], signed, now)
	if err == nil {
		return nil
	}
	b.doubtful = true
	return spec.Problem{Message: err.Error(), Reason: spec.ReasonSignatureInvalid, Hint: signHint(filepath.Join(d.path, path))}
}

// sum is the hash of a text with all that it names.
func (b *beside) sum(text [sha256.Size]byte) [sha256.Size]byte {
	if len(b.files) == 0 {
		return text
	}
	h := sha256.New()
	h.Write(text[:])
	for _, n := range b.files {
		sum := sha256.Sum256(b.data[n.path])
		fmt.Fprintf(h, "%d %s %x %v\n", len(n.path), n.path, sum, b.errs[n.path])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// fill gives the documents of a manifest what is beside it. One of which a file cannot be read is a problem.
func (b *beside) fill(path string, w words) (documents []spec.Document, problems spec.Problems) {
	problems = slices.Clip(w.problems)
	if !slices.ContainsFunc(w.documents, func(d spec.Document) bool { return d.Config != nil }) {
		return w.documents, problems // nothing of them is beside: most manifests are in memory once
	}
	for _, document := range w.documents {
		found := document.Fill(func(path string) ([]byte, error) { return b.data[path], b.errs[path] })
		for i := range found {
			found[i].File = path
		}
		if problems = append(problems, found...); len(found) == 0 {
			documents = append(documents, document)
		}
	}
	return documents, problems
}

// besides notes the names of files beside manifests, about which hints matter.
func (d *Dir) besides(files map[string]*file) {
	names := map[string]bool{}
	for _, f := range files {
		for _, n := range f.beside {
			first, _, _ := strings.Cut(n.path, "/")
			names[first] = true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.named = names
}

// isNamed tells whether a name is that of a file beside a manifest.
func (d *Dir) isNamed(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.named[name]
}

// ReadBeside reads a file below a directory as the agent does, for who only looks: links may not lead out, and only a regular file is read.
func ReadBeside(dir, path string) ([]byte, error) {
	at, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	fd, err := open(int(at.Fd()), path)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errIrregular)
	}
	return io.ReadAll(io.LimitReader(f, maxRead))
}
