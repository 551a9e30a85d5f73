package tree

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// maxDepth bounds the directories below one another, and with them the descriptors that are open.
const maxDepth = 512

// maxName is the kernel's NAME_MAX.
const maxName = 255

// DefaultEntries is how many entries an archive may have when nothing is said.
const DefaultEntries = 1 << 22

// Options say where an archive is put back, and what it may hold.
type Options struct {
	// Whiteouts tells that the directory is the upper one of an overlay: what was deleted becomes a whiteout. Nothing may be deleted elsewhere.
	Whiteouts bool
	// Devices lets device nodes be made; otherwise they are left out.
	Devices bool
	// Clear removes first what is in the directory. What is mounted in it stays, with the directories above it.
	Clear bool
	// Bytes is how much the archive may take when it is unpacked, a file as its data without holes, anything else as a block of 512. 0 is no bound.
	Bytes int64
	// Entries is how many entries there may be, of the archive and of deleted names together. 0 is DefaultEntries.
	Entries int
	// Depth is how many directories may be below one another. 0, and all above 512, is 512.
	Depth int
	// UID and GID give the ids a file gets for those in the archive; false refuses the entry. Those in access control lists and in
	// file capabilities are changed with them. Nil is the same id.
	UID, GID func(id uint32) (uint32, bool)
}

func (o Options) entries() int { return cmp.Or(o.Entries, DefaultEntries) }

func (o Options) depth() int { return min(cmp.Or(o.Depth, maxDepth), maxDepth) }

// mapped gives an id through a function that may be nil.
func mapped(f func(uint32) (uint32, bool), id uint32) (uint32, error) {
	ok := true
	if f != nil {
		id, ok = f(id)
	}
	if !ok || id == 1<<32-1 { // which chown(2) takes for "as it is"
		return 0, refused("id %d is nobody's here", id)
	}
	return id, nil
}

var errDeep = refused("too many directories below one another")

// refused is an error of an entry that is not put anywhere.
func refused(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, fs.ErrInvalid)...)
}

// blame are the kernel's errors that a right archive in a directory of its own never meets.
var blame = []error{
	unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EXDEV, unix.EEXIST, unix.EINVAL, unix.ENAMETOOLONG, unix.EFBIG, unix.E2BIG, unix.ERANGE,
}

// blamed makes such an error one of the archive.
func blamed(err error) error {
	for _, b := range blame {
		if errors.Is(err, b) {
			return refused("%w", err)
		}
	}
	return err
}

// split takes a name apart: into bare names, none for the tree's own directory. It refuses all that could lead elsewhere or says the same in another way.
func (o Options) split(name string) ([]string, error) {
	if name == root {
		return nil, nil
	}
	parts := strings.Split(name, "/")
	if len(parts) > o.depth()+1 {
		return nil, errDeep
	}
	for _, part := range parts {
		switch {
		case part == "", part == ".", part == "..":
			return nil, refused("a name with %q in it", part)
		case len(part) > maxName:
			return nil, refused("a name of more than %d bytes", maxName)
		case strings.Contains(part, "\x00"):
			return nil, refused("a name with a zero byte")
		}
	}
	return parts, nil
}

// clean is a name as an archive has it without what tars put around it: "./" before, and a slash behind that of a directory.
func (e *entry) clean() string {
	name := e.name
	if e.kind == kindDirectory {
		name = strings.TrimSuffix(name, "/")
	}
	return strings.TrimPrefix(name, "./")
}
