package start

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
)

// cacheFile is where criu keeps what it has found out about the kernel, which takes it longer than anything else about a small container. It does so only where
// /run is in memory.
const cacheFile = "criu.kdat"

// maxCache bounds it; that of criu 4 has some hundred bytes.
const maxCache = 64 << 10

// NewRun makes FileRun, with what an earlier tool has found out about this boot's kernel; nil for nothing.
func NewRun(known []byte) (*os.File, error) {
	run, err := mount.NewScratch()
	if err != nil || known == nil {
		return run, err
	}
	fd, err := unix.Openat(int(run.Fd()), cacheFile, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err == nil {
		f := os.NewFile(uintptr(fd), cacheFile)
		_, err = f.Write(known)
		_ = f.Close()
	}
	if err != nil {
		_ = run.Close()
		return nil, fmt.Errorf("cannot prepare a tool's /run: %w", err)
	}
	return run, nil
}

// Learned is what a tool has found out that has ended, and that nothing kept from it; nil for nothing.
func Learned(run *os.File) []byte {
	fd, err := unix.Openat(int(run.Fd()), cacheFile, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // it was not finished
	}
	f := os.NewFile(uintptr(fd), cacheFile)
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCache+1))
	if err != nil || len(text) == 0 || len(text) > maxCache {
		return nil
	}
	return text
}
