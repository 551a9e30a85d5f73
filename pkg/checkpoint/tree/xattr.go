package tree

import (
	"fmt"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// The attributes that are POSIX access control lists.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

const capability = "security.capability"

// travels tells whether an extended attribute is the files' own. Others are the kernel's: those of overlayfs say where a layer's
// data is, those of a security module are its own affair.
func travels(name string) bool {
	return strings.HasPrefix(name, "user.") && name != "user." || name == capability || name == aclAccess || name == aclDefault
}

// readXattrs reads the attributes that travel, in the order of their names. A file system without any has none.
func readXattrs(list func([]byte) (int, error), get func(string, []byte) (int, error)) (all []xattr, err error) {
	names, err := grow(list)
	if err == unix.EOPNOTSUPP {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list extended attributes: %w", err)
	}
	for name := range strings.SplitSeq(names, "\x00") {
		if !travels(name) {
			continue
		}
		value, err := grow(func(b []byte) (int, error) { return get(name, b) })
		if err != nil {
			return nil, fmt.Errorf("cannot read extended attribute %q: %w", name, err)
		}
		all = append(all, xattr{name, value})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all, nil
}

// grow reads with a buffer that fits: 0 bytes ask for the size, and ERANGE is that it grew meanwhile.
func grow(read func([]byte) (int, error)) (string, error) {
	var small [256]byte
	n, err := read(small[:])
	for buf := small[:]; ; {
		switch {
		case err == nil:
			return string(buf[:n]), nil
		case err != unix.ERANGE || len(buf) > maxRecords:
			return "", err
		}
		buf = make([]byte, 4*len(buf))
		n, err = read(buf)
	}
}

// xattrsOf reads the attributes of an open file or directory.
func xattrsOf(fd int) ([]xattr, error) {
	return readXattrs(
		func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		func(name string, b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
}

// xattrsAt reads the attributes of what has no data to open. A symbolic link has none that travel: see xattr(7).
func xattrsAt(dir int, name string) ([]xattr, error) {
	fd, err := beneath(dir, name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	path := procFD(fd)
	return readXattrs(
		func(b []byte) (int, error) { return unix.Listxattr(path, b) },
		func(name string, b []byte) (int, error) { return unix.Getxattr(path, name, b) })
}
