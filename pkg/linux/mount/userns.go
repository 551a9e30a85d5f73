package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// NewUserNamespace makes a user namespace with the given maps and gives its descriptor. Nobody is in it: the child that it
// was made with has ended.
func NewUserNamespace(ids IDMap) (_ *os.File, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot make a user namespace: %w", err)
		}
	}()
	if ids.IsZero() {
		return nil, fmt.Errorf("it has no maps: %w", fs.ErrInvalid)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	wait, release := os.NewFile(uintptr(pipe[0]), "wait"), os.NewFile(uintptr(pipe[1]), "release")
	defer wait.Close()
	defer release.Close()
	p := &process.Program{Clone: unix.CLONE_NEWUSER}
	p.Call("wait for id maps", "", unix.SYS_READ, p.File("wait"), process.Data(make([]byte, 1)), process.Int(1))
	var namespace *os.File
	err = process.RunWith(p, map[string]*os.File{"wait": wait}, func(pid int) (err error) {
		dir := fmt.Sprintf("/proc/%d/", pid)
		if namespace, err = os.Open(dir + "ns/user"); err != nil {
			return err
		}
		if err := errors.Join(writeMap(dir+"uid_map", ids.UIDs), writeMap(dir+"gid_map", ids.GIDs)); err != nil {
			return err
		}
		_, err = release.Write([]byte{0})
		return err
	})
	if err != nil && namespace != nil {
		namespace.Close()
	}
	return namespace, err
}

// writeMap writes a map of user_namespaces(7): all rows in one write.
func writeMap(path string, maps []spec.IDMapping) error {
	if len(maps) == 0 {
		return nil
	}
	var text strings.Builder
	for _, m := range maps {
		fmt.Fprintln(&text, m.ContainerID, m.HostID, m.Size)
	}
	return os.WriteFile(path, []byte(text.String()), 0)
}
