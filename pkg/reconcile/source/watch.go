package source

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// watch asks the kernel for hints about a directory and about every symbolic link on the way to it.
type watch struct {
	notify *fsnotify.Watcher
	at     place
}

// Hints sends when a manifest may have changed, until ctx ends. Where the kernel gives no hints it never sends.
func (d *Dir) Hints(ctx context.Context) <-chan struct{} {
	hints := make(chan struct{}, 1)
	if d.options.Watch == WatchNever {
		return hints
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return hints
	}
	d.mu.Lock()
	d.watch = &watch{notify: notify}
	d.mu.Unlock()
	go func() {
		defer notify.Close()
		for d.await(ctx, notify) {
			select {
			case hints <- struct{}{}:
			default:
			}
		}
	}()
	return hints
}

// await waits for a hint; it tells whether there was one before the end.
func (d *Dir) await(ctx context.Context, notify *fsnotify.Watcher) bool {
	for {
		select {
		case event, ok := <-notify.Events:
			if !ok {
				return false
			}
			if d.matters(event) {
				return true
			}
		case _, ok := <-notify.Errors: // an overflow: anything may have changed
			return ok
		case <-ctx.Done():
			return false
		}
	}
}

// matters tells hints about manifests, about directories that are swapped inside (..data) and about the way to the directory from all others.
// Its name is not used for more: after a swap a watch reports the old directory under the new name.
func (d *Dir) matters(event fsnotify.Event) bool {
	name := filepath.Base(event.Name)
	switch {
	case filepath.Dir(event.Name) == d.path:
		return IsManifest(strings.TrimSuffix(name, signatureOf)) || strings.HasPrefix(name, "..") || name == revisionFile || d.isNamed(name)
	case event.Name == d.path:
		return true
	}
	return strings.HasPrefix(d.path, event.Name+string(filepath.Separator))
}

// rewatch watches the directory that the path leads to now, if it is another than before; the zero place is none.
func (d *Dir) rewatch(at place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watch == nil || d.watch.at == at && at != (place{}) {
		return
	}
	for _, path := range d.watch.notify.WatchList() {
		_ = d.watch.notify.Remove(path) // gone already
	}
	d.watch.at = place{}
	// The rescan finds what a missing watch does not tell.
	for _, path := range d.way(at) {
		_ = d.watch.notify.Add(path)
	}
	if at != (place{}) && (d.polled(at) || d.watch.notify.Add(d.path) == nil) {
		d.watch.at = at
	}
}

// way is the directories in which every symbolic link of the path stands, and where the path ends for want of its last name.
func (d *Dir) way(at place) (way []string) {
	if at == (place{}) {
		way = append(way, filepath.Dir(d.path))
	}
	for path := d.path; path != "/"; path = filepath.Dir(path) {
		if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
			way = append(way, filepath.Dir(path))
		}
	}
	return way
}
