package mount

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Numbers of linux/fs.h and linux/quota.h.
const (
	iocGetXattr    = 0x801c581f // FS_IOC_FSGETXATTR
	iocSetXattr    = 0x401c5820 // FS_IOC_FSSETXATTR
	projectInherit = 0x200      // FS_XFLAG_PROJINHERIT
	setProject     = 0x800008<<8 | 2
	blockLimits    = 1 // QIF_BLIMITS
	quotaBlock     = 1024
)

// fsxattr is struct fsxattr.
type fsxattr struct {
	Flags, ExtentSize, Extents, Project, CowExtentSize uint32
	_                                                  [8]byte
}

// setQuota bounds what is below dir to size bytes. The project is named after the directory's inode number, which no
// other directory of the file system has. See quotactl(2) and ioctl_xfs_fsgetxattr(2).
func setQuota(dir *os.File, size uint64) error {
	project, err := projectOf(dir)
	if err == nil {
		err = limitProject(dir, project, size)
	}
	if errors.Is(err, unix.ESRCH) { // quotactl(2): no quota of this type is enabled
		err = errors.New("not enabled")
	}
	if err == nil {
		err = joinProject(dir, project)
	}
	if err != nil {
		return fmt.Errorf("cannot bound layer %s to %d bytes: project quotas: %w: %w\nhint: mount its file system with prjquota, say medium: Memory, or leave size out",
			dir.Name(), size, err, errors.ErrUnsupported)
	}
	return nil
}

// clearQuota lifts the bound of setQuota, if there is one.
func clearQuota(path string) error {
	dir, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot open layer: %w", err)
	}
	defer dir.Close()
	var attr fsxattr
	if err := fsxattrIoctl(dir, iocGetXattr, &attr); err != nil || attr.Project == 0 {
		return nil
	}
	if project, err := projectOf(dir); err != nil || project != attr.Project {
		return err
	}
	if err := limitProject(dir, attr.Project, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot lift the quota of layer %s: %w", path, err)
	}
	return nil
}

// projectOf is the project number that belongs to a directory.
func projectOf(dir *os.File) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return 0, err
	}
	if st.Ino == 0 || st.Ino >= 1<<32-1 {
		return 0, fmt.Errorf("inode %d is no project number", st.Ino)
	}
	return uint32(st.Ino), nil
}

// joinProject puts dir, and what will be made below it, into the project.
func joinProject(dir *os.File, project uint32) error {
	var attr fsxattr
	if err := fsxattrIoctl(dir, iocGetXattr, &attr); err != nil {
		return err
	}
	attr.Flags |= projectInherit
	attr.Project = project
	return fsxattrIoctl(dir, iocSetXattr, &attr)
}

func fsxattrIoctl(dir *os.File, request uintptr, attr *fsxattr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), request, uintptr(unsafe.Pointer(attr))); errno != 0 {
		return errno
	}
	return nil
}

// limitProject sets the hard limit of the project's blocks on dir's file system; 0 is none. quotactl_fd came with Linux 5.14.
func limitProject(dir *os.File, project uint32, size uint64) error {
	var quota [72]byte // struct if_dqblk: hard limit in blocks of 1 KiB, seven more numbers, and which of them are said
	binary.NativeEndian.PutUint64(quota[0:], (size+quotaBlock-1)/quotaBlock)
	binary.NativeEndian.PutUint32(quota[64:], blockLimits)
	if _, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, dir.Fd(), setProject, uintptr(project), uintptr(unsafe.Pointer(&quota)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
