package attribute

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenProc opens a proc file system that no mount can lie over and no other process sees, for FileProc. One serves any
// number of starts, by a keeper in the caller's pid namespace.
func OpenProc() (*os.File, error) {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot open proc: fsopen: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("cannot open proc: fsconfig: %w", err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot open proc: fsmount: %w", err)
	}
	return os.NewFile(uintptr(mnt), "proc"), nil
}
