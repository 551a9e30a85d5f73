package api

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"golang.org/x/sys/unix"
)

// The format of system.posix_acl_access: a version, then entries of a tag, permissions and a number, in the order of tags and numbers,
// each the least significant byte first. See include/uapi/linux/posix_acl.h and posix_acl_xattr.h.
const (
	aclVersion  = 2
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
	aclNobody   = 0xffffffff // of a tag that names nobody
	aclUse      = 6          // read and write: what connect(2) asks for
)

// Share lets those with grants connect to the socket at path, by an access control list: to everybody else it stays closed. The socket's
// owner and group keep what they have. No grants: the list goes, if there is one.
func (gs Grants) Share(path string) error {
	const list = "system.posix_acl_access"
	if len(gs) == 0 {
		_ = unix.Lremovexattr(path, list) // none is none
		return nil
	}
	err := unix.Lsetxattr(path, list, gs.acl(), 0)
	if errors.Is(err, errors.ErrUnsupported) {
		err = errors.New("its file system has no access control lists")
	}
	if err != nil {
		return fmt.Errorf("cannot let those with grants connect to %s: %w", path, err)
	}
	return nil
}

// acl is the list: each user and group once.
func (gs Grants) acl() []byte {
	sorted := append(Grants{}, gs...)
	sort.Slice(sorted, func(i, j int) bool {
		if a, b := sorted[i], sorted[j]; a.Group != b.Group {
			return b.Group
		}
		return sorted[i].ID < sorted[j].ID
	})
	list := binary.LittleEndian.AppendUint32(nil, aclVersion)
	add := func(tag, permissions uint16, id uint32) {
		list = binary.LittleEndian.AppendUint16(list, tag)
		list = binary.LittleEndian.AppendUint16(list, permissions)
		list = binary.LittleEndian.AppendUint32(list, id)
	}
	entries := func(tag uint16, groups bool) {
		for i, g := range sorted {
			if g.Group == groups && (i == 0 || sorted[i-1].ID != g.ID || sorted[i-1].Group != groups) {
				add(tag, aclUse, g.ID)
			}
		}
	}
	add(aclUserObj, aclUse, aclNobody)
	entries(aclUser, false)
	add(aclGroupObj, aclUse, aclNobody)
	entries(aclGroup, true)
	add(aclMask, aclUse, aclNobody)
	add(aclOther, 0, aclNobody)
	return list
}
