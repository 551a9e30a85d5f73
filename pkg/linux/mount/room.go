package mount

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// room is how much copies into tmpfs may still take, of all mounts of one start. What is copied is charged to who copies and not to the container
// (memory controller: the first who touches a page pays), so the kernel does not hold it to the container's limit.
type room struct{ most, left uint64 }

// newRoom is room for so many bytes, nil for any number.
func newRoom(most uint64) *room {
	if most == 0 {
		return nil
	}
	return &room{most, most}
}

// entrySize is what a file takes that is empty, by the kernel's own reckoning: BOGO_INODE_SIZE of linux/shmem_fs.h.
const entrySize = 1024

// take takes a number of bytes.
func (r *room) take(n uint64) error {
	if r == nil {
		return nil
	}
	if n > r.left {
		return fmt.Errorf("another %s after %s are more than memory.max of the container, %s: %w\nhint: raise memory.max, or mount without tmpcopyup",
			spec.Bytes(n), spec.Bytes(r.most-r.left), spec.Bytes(r.most), fs.ErrInvalid)
	}
	r.left -= n
	return nil
}

// takePages takes the pages that the bytes of a file between two places are in.
func (r *room) takePages(begin, end int64) error {
	page := int64(os.Getpagesize())
	return r.take(uint64((end+page-1)/page*page - begin/page*page))
}
