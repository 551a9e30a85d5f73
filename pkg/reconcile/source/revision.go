package source

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// revisionFile is a file in which whoever fills the directory may say what the contents are called.
const revisionFile = ".revision"

// maxRevision bounds a revision, in bytes.
const maxRevision = 200

var (
	// commit is a full name of a commit: SHA-1 or SHA-256, see git-hash-object(1).
	commit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	// word is what may stand in a revision file.
	word = regexp.MustCompile(`^[[:graph:]]+$`)
)

// revisionOf is what the contents of an open directory are called: the nearest directory above or at it that has the name of a commit, as those of
// git-sync have, or else the first line of its file .revision. "" when nothing says.
//
// It is to be asked before the manifests are read: who writes the file last has written all before.
func (d *Dir) revisionOf(dir *os.File, at place) string {
	for path := at.resolved; path != "/" && path != "."; path = filepath.Dir(path) {
		if leaf := filepath.Base(path); commit.MatchString(leaf) {
			return leaf
		}
	}
	text, err := d.small(int(dir.Fd()), revisionFile, maxRevision)
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSpace(line); err != nil || !word.MatchString(line) {
		return ""
	}
	return line
}

// small reads the beginning of a regular file beside the manifests that nobody else may have written.
func (d *Dir) small(dir int, name string, most int64) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	linked := st.Mode&unix.S_IFMT == unix.S_IFLNK
	fd, err := open(dir, name)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errIrregular
	}
	if err := d.trustFile(f, &st, name, linked); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, most))
}
