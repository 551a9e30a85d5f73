package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The files of an image beside criu's.
const (
	fileLayer   = "rootfs-diff.tar"
	fileDeleted = "deleted.files"
	fileBackend = "backend.json"
	dirTrees    = "tmpfs"
)

// backend is what of a container has to be known to restore it, beside its spec.
type backend struct {
	Mounts  []string          `json:"mounts"`
	Streams map[string]string `json:"streams,omitzero"`
	Network bool              `json:"network,omitzero"`
	Inside  bool              `json:"inside,omitzero"`  // criu was in the network, of which the image knows nothing
	Trees   map[string]string `json:"trees,omitzero"`   // files of the image, by the places whose contents they are
	Users   mount.IDMap       `json:"users,omitzero"`   // of the user namespace, by which ids in archives are the node's
	Threads []linux.Thread    `json:"threads,omitzero"` // what they have and criu does not save

	Notified spec.Notified `json:"notified,omitzero"` // what the run had said of itself: it does not say it again

	Programs map[string]string `json:"programs,omitzero"` // the sums of the files that are executed
}

// saveFiles saves what the container wrote into its root, and the file systems in memory.
func (m *member) saveFiles(ctx context.Context) error {
	d := m.dump
	b := backend{Mounts: d.Mounts, Streams: d.Streams, Network: d.Network != 0 && !m.inside, Inside: m.inside, Users: d.Users, Trees: map[string]string{}}
	var err error
	if b.Threads, err = d.Threads(); err != nil {
		return err
	}
	if b.Notified, err = d.Notified(); err != nil {
		return err
	}
	if err := d.LookAtPrograms(ctx); err != nil {
		return err
	}
	b.Programs = d.Programs.Sums()
	if d.Lower != nil {
		var deleted []string
		err := m.write(fileLayer, func(w *os.File) (err error) {
			deleted, err = tree.Diff(ctx, w, d.Root, d.Lower, nil)
			return err
		})
		if err == nil {
			err = m.write(fileDeleted, func(w *os.File) error { _, err := w.Write(tree.EncodeDeleted(deleted)); return err })
		}
		if err != nil {
			return fmt.Errorf("cannot save its files: %w", err)
		}
	}
	for i, place := range slices.Sorted(maps.Keys(d.Trees)) {
		name := path.Join(dirTrees, fmt.Sprintf("%d.tar", i))
		b.Trees[place] = name
		if err := m.write(name, func(w *os.File) error { return tree.Save(ctx, w, d.Trees[place], skipped(place, d.Instance.Spec.Spec)) }); err != nil {
			return fmt.Errorf("cannot save the files of %s: %w", place, err)
		}
	}
	return m.writeJSON(fileBackend, b)
}

// skipped tells what of a file system in memory is not saved: the backend fills /dev itself.
func skipped(place string, s spec.ContainerSpec) func(string) bool {
	if place != "/dev" {
		return nil
	}
	return func(name string) bool {
		return !strings.Contains(name, "/") && (linux.MadeInDev(name) || slices.ContainsFunc(s.Devices, func(d spec.Device) bool {
			return d.Path == "/dev/"+name || strings.HasPrefix(d.Path, "/dev/"+name+"/")
		}))
	}
}

func (m *member) write(name string, fill func(*os.File) error) error {
	f, err := m.writer.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}

func (m *member) writeJSON(name string, content any) error {
	return m.write(name, func(f *os.File) error { return json.NewEncoder(f).Encode(content) })
}
