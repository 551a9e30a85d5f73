package reconcile

import (
	"cmp"
	"context"
	"io/fs"
	"reflect"
	"sort"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// keptChanges is how many changes a watch can resume over.
const keptChanges = 8192

// objects are what the agent shows, and the changes of it.
type objects struct {
	mu      sync.Mutex
	byName  map[string]*shown
	changes *journal[change]
}

// shown is an object as it was at a version; nothing of it changes. What is said of it is most of it and seldom changes: all versions have it together.
type shown struct {
	said    *spec.Object // without version and status
	version uint64
	status  spec.Status
}

// change is a Change.
type change struct {
	kind  ChangeType
	shown *shown
}

func (s *shown) object() spec.Object {
	object := *s.said
	object.Metadata.ResourceVersion, object.Status = s.version, s.status
	return object
}

func newObjects() *objects {
	return &objects{byName: map[string]*shown{}, changes: newJournal[change](keptChanges)}
}

// Put shows an object, if it differs from what was shown. It sets the version, and when conditions changed.
func (o *objects) Put(object spec.Object, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name, next := object.Metadata.Name, &shown{status: object.Status}
	object.Metadata.ResourceVersion, object.Status = 0, spec.Status{}
	before, existed := o.byName[name]
	kind := Added
	if existed {
		kind = Modified
		stamp(next.status.Conditions, before.status.Conditions, now)
		if reflect.DeepEqual(object, *before.said) {
			next.said = before.said
			if reflect.DeepEqual(next.status, before.status) {
				return
			}
		}
	} else {
		stamp(next.status.Conditions, nil, now)
	}
	if next.said == nil {
		said := object
		next.said = &said
	}
	o.append(kind, next)
	o.byName[name] = next
}

// Delete stops showing an object.
func (o *objects) Delete(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if before, ok := o.byName[name]; ok {
		o.append(Deleted, &shown{said: before.said, status: before.status})
		delete(o.byName, name)
	}
}

func (o *objects) append(kind ChangeType, s *shown) {
	o.changes.Append(func(id uint64) change {
		s.version = id
		return change{kind, s}
	})
}

// List is all objects by name, and the newest version they contain.
func (o *objects) List() ([]spec.Object, uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := make([]string, 0, len(o.byName)) // which are moved more easily than objects
	for name := range o.byName {
		names = append(names, name)
	}
	sort.Strings(names)
	list := make([]spec.Object, len(names))
	for i, name := range names {
		list[i] = o.byName[name].object()
	}
	return list, o.changes.Last()
}

// Get is one object; fs.ErrNotExist when there is none.
func (o *objects) Get(name string) (spec.Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.byName[name]
	if !ok {
		return spec.Object{}, refuse(fs.ErrNotExist, "no container %q", name)
	}
	return s.object(), nil
}

// Watch gives the changes after a version; 0 means from now on.
func (o *objects) Watch(ctx context.Context, since uint64) (<-chan Change, error) {
	since = cmp.Or(since, o.changes.Last())
	if _, _, err := o.changes.After(since); err != nil {
		return nil, err
	}
	return follow(ctx, o.changes, since, func(c change) (Change, bool) { return Change{Type: c.kind, Object: c.shown.object()}, true }), nil
}
