package simnode

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Folder is a directory of manifests in memory: a reconcile.Source for any number of agents, one after another.
type Folder struct {
	name string

	mu     sync.Mutex
	files  map[string]*reconcile.File
	gone   bool
	called string // the revision
	hinted chan struct{}
}

// NewFolder is an empty folder.
func NewFolder(name string) *Folder {
	return &Folder{name: name, files: map[string]*reconcile.File{}, hinted: make(chan struct{}, 1)}
}

// Put writes a file; it may be no manifest at all.
func (f *Folder) Put(file, text string) {
	documents, problems := spec.Decode(f.name+"/"+file, []byte(text))
	f.put(file, &reconcile.File{Path: f.name + "/" + file, Documents: documents, Problems: problems})
}

// PutContainers writes a file of containers.
func (f *Folder) PutContainers(file string, containers ...spec.Container) {
	manifest := &reconcile.File{Path: f.name + "/" + file}
	for i, c := range containers {
		manifest.Documents = append(manifest.Documents, spec.Document{Container: c, Line: i + 1})
	}
	f.put(file, manifest)
}

func (f *Folder) put(file string, manifest *reconcile.File) {
	f.change(func() { f.files[file] = manifest })
}

// Remove removes a file.
func (f *Folder) Remove(file string) { f.change(func() { delete(f.files, file) }) }

// Call says what the contents are called: the revision.
func (f *Folder) Call(revision string) { f.change(func() { f.called = revision }) }

// Hide makes the folder unreadable, or readable again.
func (f *Folder) Hide(gone bool) { f.change(func() { f.gone = gone }) }

func (f *Folder) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	select {
	case f.hinted <- struct{}{}:
	default:
	}
}

// Name is the folder's name.
func (f *Folder) Name() string { return f.name }

// Hints sends after every change.
func (f *Folder) Hints(context.Context) <-chan struct{} { return f.hinted }

// Scan reads the folder.
func (f *Folder) Scan(context.Context, bool) reconcile.Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := reconcile.Snapshot{Source: f.name, ReadAt: time.Now().Round(0)}
	if f.gone {
		s.Err = errors.New(f.name + " is gone")
		return s
	}
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(f.files)) {
		s.Files = append(s.Files, f.files[name])
		fmt.Fprintf(h, "%s %p\n", name, f.files[name])
	}
	s.Revision, s.Hash = f.called, fmt.Sprintf("%012x", h.Sum64())
	return s
}
