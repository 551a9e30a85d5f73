package survey

import (
	"errors"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// Queues refuses POSIX message queues in a directory of a process's tree, which criu does not save.
func Queues(pid int, point string) error {
	dir, err := OpenInside(pid, point, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(4)
	if len(names) > 0 {
		return unsupported("it has POSIX message queues (%s in %s), which cannot be saved", strings.Join(names, ", "), point)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
