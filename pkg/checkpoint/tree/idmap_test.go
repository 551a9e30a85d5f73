package tree_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// The ids of a container with a user namespace of its own.
const (
	firstID = 100000
	idCount = 65536
)

// toContainer gives the id of a container for one of the node.

func toContainer(id uint32) (uint32, bool) {
	return id - firstID, id >= firstID && id < firstID+idCount
}

// newUserNamespace is one that maps those ids; it lives as long as the descriptor.
func newUserNamespace(t testing.TB) *os.File {
	t.Helper()
	kerneltest.Require(t, feature.Privileges, feature.UserNamespaces)
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: firstID, Size: idCount}}
	cmd := exec.CommandContext(t.Context(), "/bin/cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	f := open(t, fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
	must(t, in.Close())
	must(t, cmd.Wait())
	return f
}

// idMapped shows a directory with the ids of a user namespace, somewhere else.
func idMapped(t testing.TB, dir string, user *os.File) string {
	t.Helper()
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(user.Fd())}))
	at := t.TempDir()
	must(t, unix.MoveMount(fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH))
	t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
	return at
}

// The files of a container with a user namespace come back, into a layer with the node's ids and into one with its own.
func TestDifferencesOfUserNamespaces(t *testing.T) {
	user := newUserNamespace(t)
	for name, ownIDs := range map[string]bool{"the node's ids": false, "its own ids": true} {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				seed := uint64(time.Now().UnixNano())
				if !t.Run(fmt.Sprint(seed), func(t *testing.T) { roundTripMapped(t, seed, user, ownIDs) }) {
					return
				}
			}
		})
	}
}

func roundTripMapped(t *testing.T, seed uint64, user *os.File, ownIDs bool) {
	v := &vandal{Rand: rand.New(rand.NewPCG(seed, 0))}
	lower := t.TempDir()
	v.top = lower
	v.run(150)
	settle(t, filepath.Dir(lower))
	// layer mounts an overlay over the lower layer, on an upper directory that it may fill before.
	layer := func(fill func(upper string)) *os.File {
		dir := t.TempDir()
		must(t, os.Mkdir(dir+"/upper", 0o755))
		must(t, os.Mkdir(dir+"/work", 0o755))
		fill(dir + "/upper")
		at := dir
		if ownIDs {
			at = idMapped(t, dir, user)
		}
		return layers{idMapped(t, lower, user), at + "/upper", at + "/work"}.mount(t)
	}
	merged := layer(func(string) {})
	v.top, v.ids = procPath(merged), firstID
	must(t, os.Lchown(v.top, firstID, firstID))
	v.run(100)
	archive, deleted := diff(t, merged, lower, nil)
	o := tree.Options{Whiteouts: true, Devices: true}
	if ownIDs {
		o.UID, o.GID = toContainer, toContainer
	}
	back := layer(func(upper string) {
		must(t, tree.Apply(t.Context(), open(t, upper), bytes.NewReader(archive), deleted, o))
	})
	same(t, snapshot(t, procPath(back)), snapshot(t, procPath(merged)))
}
