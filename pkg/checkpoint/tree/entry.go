package tree

// The kinds of entries, as tar has them in its type flag: see pax(1), "ustar Interchange Format".
const (
	kindFile      = '0'
	kindHardLink  = '1'
	kindSymlink   = '2'
	kindCharacter = '3'
	kindBlock     = '4'
	kindDirectory = '5'
	kindFIFO      = '6'
	kindRecords   = 'x' // the records of the entry that follows
)

// root is the name of the tree's own directory.
const root = "."

// entry is what an archive says of one file, without its data.
type entry struct {
	name     string // below the tree, its components are bare names; root for the tree itself
	kind     byte
	mode     uint32 // the permissions: 0o7777 at most
	uid, gid uint32
	modified timestamp
	link     string // of a symbolic link its text, of a hard link a name below the tree
	major    uint32
	minor    uint32
	xattrs   []xattr

	size     int64     // of a file: how long it is
	stored   int64     // of a file: how many bytes of data follow in the archive, without a map of its holes
	segments []segment // of a file with holes: what is stored
	sparse   bool
}

// timestamp is a time since 1970 that may be before it; nsec always counts forward.
type timestamp struct{ sec, nsec int64 }

// xattr is one extended attribute.
type xattr struct{ name, value string }

// segment is a part of a file that is no hole.
type segment struct{ at, size int64 }
