package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// notifying is a defaulted container with the directory of its socket for sd_notify(3) among its mounts, made anew for the run to come, and the socket's path in
// its environment unless that says another. It is made for one run, and nothing of it is in the record: who reads that finds the manifest.
func (n *Node) notifying(c spec.Container, id uint64) (spec.Container, error) {
	dir := filepath.Join(n.instanceDir(c.Metadata.Name, id), keeper.NotifyDir)
	err := os.RemoveAll(dir)
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755) // whatever the umask
	}
	if err != nil {
		return c, fmt.Errorf("cannot make the directory of the notify socket: %w", err)
	}
	c.Spec.Mounts = append(slices.Clone(c.Spec.Mounts), spec.Mount{
		Type: spec.MountBind, Source: dir, Destination: spec.NotifyDir, Options: []string{"bind", "private", "nosuid", "noexec", "nodev", "ro"},
	})
	if _, said := c.Spec.Env[notifyVariable]; !said {
		env := maps.Clone(c.Spec.Env)
		if env == nil {
			env = map[string]string{}
		}
		env[notifyVariable] = spec.NotifySocket
		c.Spec.Env = env
	}
	return c, nil
}

const notifyVariable = "NOTIFY_SOCKET"

// notified is what a run has said of itself: what it began with, or what has come since.
func (n *Node) notified(name string, id uint64, started keeper.Started) spec.Notified {
	if !started.Notify.Socket {
		return spec.Notified{}
	}
	var since keeper.Notified
	if err := n.readJSON(name, id, keeper.NotifyFile, &since); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			n.cfg.Log.Error(err, "cannot read what a container has said of itself", "name", name, "instance", id)
		}
		return started.Notify
	}
	if since.Starts != started.Starts { // an earlier run's
		return started.Notify
	}
	return since.Notified
}
