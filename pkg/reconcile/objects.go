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
	byName  map[string]spec.Object
	changes *journal[Change]
}

func newObjects() *objects {
	return &objects{byName: map[string]spec.Object{}, changes: newJournal[Change](keptChanges)}
}

// Put shows an object, if it differs from what was shown. It sets the version, and when conditions changed.
func (o *objects) Put(object spec.Object, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := object.Metadata.Name
	before, existed := o.byName[name]
	stamp(object.Status.Conditions, before.Status.Conditions, now)
	object.Metadata.ResourceVersion = before.Metadata.ResourceVersion
	if existed && reflect.DeepEqual(object, before) {
		return
	}
	kind := Added
	if existed {
		kind = Modified
	}
	o.append(kind, &object)
	o.byName[name] = object
}

// Delete stops showing an object.
func (o *objects) Delete(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if object, ok := o.byName[name]; ok {
		o.append(Deleted, &object)
		delete(o.byName, name)
	}
}

func (o *objects) append(kind ChangeType, object *spec.Object) {
	o.changes.Append(func(id uint64) Change {
		object.Metadata.ResourceVersion = id
		return Change{kind, *object}
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
		list[i] = o.byName[name]
	}
	return list, o.changes.Last()
}

// Get is one object; fs.ErrNotExist when there is none.
func (o *objects) Get(name string) (spec.Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	object, ok := o.byName[name]
	if !ok {
		return object, refuse(fs.ErrNotExist, "no container %q", name)
	}
	return object, nil
}

// Watch gives the changes after a version; 0 means from now on.
func (o *objects) Watch(ctx context.Context, since uint64) (<-chan Change, error) {
	since = cmp.Or(since, o.changes.Last())
	if _, _, err := o.changes.After(since); err != nil {
		return nil, err
	}
	return o.changes.Follow(ctx, since, func(Change) bool { return true }), nil
}
