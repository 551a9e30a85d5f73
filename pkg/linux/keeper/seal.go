package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// mfdExec allows execution whatever vm.memfd_noexec says; since Linux 6.3. See memfd_create(2).
const mfdExec = 0x10

// seals make a memfd's contents final.
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Sealed copies a binary ("/proc/self/exe") into memory that nobody can write to. Until its execve a container's first
// process has the keeper's binary as /proc/self/exe, so that binary must not be the one on disk.
func Sealed(exe string) (*os.File, error) {
	src, err := os.Open(exe)
	if err != nil {
		return nil, fmt.Errorf("cannot copy %s: %w", exe, err)
	}
	defer src.Close()
	dst, err := memfd("reconciler", mfdExec|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("cannot copy %s: %w", exe, err)
	}
	if _, err = io.Copy(dst, src); err == nil {
		_, err = unix.FcntlInt(dst.Fd(), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		dst.Close()
		return nil, fmt.Errorf("cannot seal a copy of %s: %w", exe, err)
	}
	return dst, nil
}

// memfd makes a file in memory. Kernels before 6.3 do not know mfdExec and do not need it.
func memfd(name string, flags int) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_CLOEXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags&^mfdExec|unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// isSealed tells whether a file's contents are final.
func isSealed(f *os.File) bool {
	got, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	return err == nil && got&seals == seals
}
