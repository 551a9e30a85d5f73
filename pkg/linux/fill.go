package linux

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Feed starts a program that gives the container its memory while that runs already: it ends with code 0 when all is there. It outlives this process and the
// keeper, and dies with the container; when it ends in any other way the container is killed, with the reason MemoryLost. Until it ends the instance is
// Filling. It finds the files that t names, which stay the caller's. After an error there is no such program, and memory has to come at once.
func (r *Restore) Feed(ctx context.Context, t start.Tool, given map[string]*os.File) (err error) {
	files, path, err := r.group.AsideFiles(keeper.FeedPrefix + rand.Text())
	if err != nil {
		return err
	}
	defer closeAll(files)
	defer func() {
		if err != nil {
			_ = unix.Rmdir(path) // unless the keeper has
		}
	}()
	request := keeper.ExecRequest{Cgroup: path, Files: map[string]*os.File{}}
	groupFiles := map[string]*os.File{cgroup.FileDir: files[cgroup.FileDir]}
	if files[start.FileRun], err = r.node.toolRun(); err != nil {
		return err
	}
	t.ComposeAside(&request.Program, groupFiles)
	maps.Copy(request.Files, files)
	maps.Copy(request.Files, given)
	_, err = r.restoring.Feed(ctx, request)
	return err
}

// Hold makes sure that nobody in the container ever sees memory that Feed's program has not given, whatever becomes of that. It is called when the processes
// are whole and do not run yet.
func (r *Restore) Hold(ctx context.Context) error { return r.restoring.Hold(ctx) }

// isFilling tells whether an instance with processes waits for memory.
func (n *Node) isFilling(name string, id uint64) bool {
	var st unix.Stat_t
	return unix.Lstat(filepath.Join(n.instanceDir(name, id), keeper.FeedFile), &st) == nil
}

// fillPause is between two looks whether an instance is still filling.
const fillPause = 10 * time.Millisecond

// Filled waits until the memory of an instance is there: before that no image can be taken of it. It is spec.ErrBusy when that takes too long.
func (n *Node) Filled(ctx context.Context, name string, id uint64, patience time.Duration) error {
	for deadline := time.Now().Add(patience); n.isFilling(name, id); {
		if time.Now().After(deadline) {
			return errFilling
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(fillPause):
		}
	}
	return nil
}

var errFilling = fmt.Errorf("its memory is still coming from the image that it was restored from: %w", spec.ErrBusy)
