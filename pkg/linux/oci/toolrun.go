package oci

import (
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/linux/statefile"
)

// cachePath is where one verb leaves the next what a tool has found out about this boot's kernel: beside the root.
func (r *Runtime) cachePath() string { return r.Root + ".kernel" }

// toolRun makes the /run of a tool, detached, with what is known already. What others may have written is not believed.
func (r *Runtime) toolRun() (*os.File, error) {
	text, err := readOwn(r.cachePath())
	boot, failed := process.BootID()
	if known := []byte(boot); err == nil && failed == nil && len(text) > len(known) && string(text[:len(known)]) == boot {
		return start.NewRun(text[len(known):])
	}
	return start.NewRun(nil)
}

// learn keeps what a tool has found out, unless that was known. It is of use, and no more: an error is nobody's matter.
func (r *Runtime) learn(run *os.File) {
	text := start.Learned(run)
	boot, err := process.BootID()
	if err != nil || text == nil {
		return
	}
	text = append([]byte(boot), text...)
	if have, err := readOwn(r.cachePath()); err != nil || string(have) != string(text) {
		_ = statefile.Replace(r.cachePath(), text, 0o600, false)
	}
}

// readOwn reads a file that nobody else can have written.
func readOwn(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o022 != 0 || int(st.Uid) != os.Geteuid() {
		return nil, fs.ErrPermission
	}
	return io.ReadAll(io.LimitReader(f, maxConfig))
}
