package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Source gives the manifests of one place, always all of them.
type Source interface {
	// Name identifies the source in records, statuses and confirmations: the directory's path.
	Name() string
	// Scan reads the source; all says not to trust what it remembers of unchanged files. It may be slow, and is called by one goroutine.
	Scan(ctx context.Context, all bool) Snapshot
	// Hints sends when something may have changed, until ctx ends. It is never relied upon.
	Hints(ctx context.Context) <-chan struct{}
}

// Snapshot is all of a source at one moment, immutable. The zero value is a source that was not read yet.
type Snapshot struct {
	Source string
	// Err says why the source could not be read completely; nothing is removed then, and Files mean nothing.
	Err error
	// Revision is what whoever put the contents there calls them: the commit that git-sync checked out, the text of a file .revision; "" when nothing says.
	Revision string
	// Hash is a short hash of names and contents, hexadecimal.
	Hash string
	// Files are the manifest files in the order of their paths. Unchanged files are the same pointers as in the snapshot before.
	Files []*File
	// ReadAt is when reading began: nothing in it is older.
	ReadAt time.Time
	// Listed is when all files had been looked at: what is missing was missing then at the latest. The zero value is ReadAt.
	Listed time.Time
	// Unsettled tells that something was being written: scan again soon.
	Unsettled bool
}

// OK tells whether the source was read completely.
func (s Snapshot) OK() bool { return s.Err == nil && !s.ReadAt.IsZero() }

// listed is when all files had been looked at.
func (s Snapshot) listed() time.Time {
	if s.Listed.IsZero() {
		return s.ReadAt
	}
	return s.Listed
}

// same tells whether two snapshots of a source say the same.
func (s Snapshot) same(other Snapshot) bool {
	if s.ReadAt.IsZero() || s.OK() != other.OK() {
		return false
	}
	return s.OK() && slices.Equal(s.Files, other.Files) || !s.OK() && s.Err.Error() == other.Err.Error()
}

// File is a manifest file as it was read. A file with problems removes nothing.
type File struct {
	Path      string
	Documents []spec.Document
	Problems  spec.Problems
}
