package tree

import (
	"fmt"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// wanted is what is asked of each file.
const wanted = unix.STATX_BASIC_STATS

// look asks for one entry of a directory, without following a link or having something mounted.
func look(dir int, name string) (st unix.Statx_t, err error) {
	err = unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, wanted, &st)
	return st, err
}

// isMounted tells that it is not the directory's own entry that was seen, but what is mounted there, a file or a directory, from
// whatever file system: statx(2), known since Linux 5.8.
func isMounted(st *unix.Statx_t) bool { return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 }

func isDirectory(st *unix.Statx_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

// untouched tells that an overlay shows the lower layer's own file. It has then its times; what was copied up has a change time of its own,
// which nobody can set. Size and time of change of the data stand against a clock that shows the same time again.
func untouched(merged, lower *unix.Statx_t) bool {
	return merged.Ctime == lower.Ctime && merged.Mtime == lower.Mtime && merged.Mode == lower.Mode &&
		(isDirectory(merged) || merged.Size == lower.Size)
}

// beneath opens a bare name in a directory, or "." for itself again; a link is not followed and a mount not entered.
func beneath(dir int, name string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS,
	}
	if flags&unix.O_PATH != 0 { // then a link itself is opened
		how.Resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS
	}
	return retry(func() (int, error) { return unix.Openat2(dir, name, &how) })
}

// retry repeats a call that a signal, or a rename elsewhere on the node (openat2(2), EAGAIN), came in between of.
func retry(call func() (int, error)) (n int, err error) {
	for range 128 {
		if n, err = call(); err != unix.EINTR && err != unix.EAGAIN {
			break
		}
	}
	return n, err
}

// openDirectory opens a directory to read it, without changing its time of access where that may be had.
func openDirectory(dir int, name string) (int, error) {
	fd, err := beneath(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOATIME)
	if err == unix.EPERM {
		fd, err = beneath(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	return fd, err
}

// openFile opens a regular file to read it. What it is is seen before it is opened for good, because opening a device or a pipe already has effects.
// One that a process holds a lease of (fcntl(2), F_SETLEASE) is an error instead of a wait for somebody who may be stopped.
func openFile(dir int, name string) (int, error) {
	path, err := beneath(dir, name, unix.O_PATH)
	if err != nil {
		return -1, err
	}
	defer unix.Close(path)
	var st unix.Stat_t
	if err := unix.Fstat(path, &st); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, errReplaced
	}
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Open(procFD(path), flags|unix.O_NOATIME, 0)
	if err == unix.EPERM {
		fd, err = unix.Open(procFD(path), flags, 0)
	}
	if err == unix.EAGAIN {
		err = fmt.Errorf("a process holds a lease of it: %w", err)
	}
	return fd, err
}

var errReplaced = fmt.Errorf("it was replaced while it was read")

// procFD is a path that names what a descriptor is of.
func procFD(fd int) string { return fmt.Sprintf("/proc/thread-self/fd/%d", fd) }

// dirent is one name of a directory with its kind, DT_UNKNOWN where the file system does not say it.
type dirent struct {
	name string
	kind byte
}

// list reads a directory, in the order of its names' bytes.
func list(fd int) (all []dirent, err error) {
	var buf [32 << 10]byte
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, buf[:]) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		all = appendDirents(all, buf[:n])
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all, nil
}

// appendDirents takes apart what getdents64(2) gives: u64 inode, u64 offset, u16 length, u8 kind, name.
func appendDirents(all []dirent, buf []byte) []dirent {
	for len(buf) > 0 {
		length := int(buf[16]) | int(buf[17])<<8
		name := unix.ByteSliceToString(buf[19:length])
		if name != "." && name != ".." {
			all = append(all, dirent{strings.Clone(name), buf[18]})
		}
		buf = buf[length:]
	}
	return all
}

// lookAt asks for an open directory itself.
func lookAt(fd int) (st unix.Statx_t, err error) {
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, wanted, &st)
	return st, err
}
