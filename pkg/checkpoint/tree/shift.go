package tree

import "encoding/binary"

// shift gives an attribute the ids that its file gets: access control lists and file capabilities have some in them.
func (o Options) shift(x xattr) ([]byte, error) {
	value := []byte(x.value)
	switch x.name {
	case aclAccess, aclDefault:
		return value, o.shiftACL(value)
	case capability:
		return value, o.shiftCapability(value)
	}
	return value, nil
}

// An access control list is a version and entries of a tag, permissions and an id: include/uapi/linux/posix_acl_xattr.h.
const (
	aclVersion   = 2
	aclHeader    = 4
	aclEntrySize = 8
	aclUser      = 0x02
	aclGroup     = 0x08
)

// shiftACL changes the ids of named users and groups.
func (o Options) shiftACL(value []byte) error {
	if len(value) < aclHeader || (len(value)-aclHeader)%aclEntrySize != 0 || binary.LittleEndian.Uint32(value) != aclVersion {
		return refused("no access control list")
	}
	for entry := value[aclHeader:]; len(entry) > 0; entry = entry[aclEntrySize:] {
		var ids func(uint32) (uint32, bool)
		switch binary.LittleEndian.Uint16(entry) {
		case aclUser:
			ids = o.UID
		case aclGroup:
			ids = o.GID
		default:
			continue
		}
		id, err := mapped(ids, binary.LittleEndian.Uint32(entry[4:]))
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(entry[4:], id)
	}
	return nil
}

// Capabilities of the third revision end with the id of their user namespace's superuser: struct vfs_ns_cap_data of include/uapi/linux/capability.h.
const (
	capabilityRevision = 0xff000000
	capabilityThird    = 0x03000000
	capabilitySize     = 24
	capabilityRootID   = 20
)

// shiftCapability changes the id of the superuser for whom the capabilities are some.
func (o Options) shiftCapability(value []byte) error {
	if len(value) != capabilitySize || binary.LittleEndian.Uint32(value)&capabilityRevision != capabilityThird {
		return nil
	}
	id, err := mapped(o.UID, binary.LittleEndian.Uint32(value[capabilityRootID:]))
	if err == nil {
		binary.LittleEndian.PutUint32(value[capabilityRootID:], id)
	}
	return err
}
