package spec

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// Classes of a field: what a change of it does to a running container.
const (
	ClassLive    = "live"    // applied in place
	ClassReplace = "replace" // gives a new instance
)

// Change is one field that differs between two containers.
type Change struct {
	// Path is the field as the manifest has it, below spec or with metadata in front: env.LOG, command[1],
	// resources.memory.max, metadata.labels.app.
	Path string `json:"path"`
	// Class is ClassLive or ClassReplace.
	Class string `json:"class"`
	// Old and New are the values for people; "" means not said, an empty text is `""`.
	Old string `json:"old,omitzero"`
	New string `json:"new,omitzero"`
}

// Diff is what differs from a to b, field by field, in the order of the manifest: lists by index, maps by key. Names are not compared.
// Compare containers under Defaulted to leave out what only says a default.
func Diff(a, b Container) []Change {
	if reflect.DeepEqual(a, b) { // mostly, and told in a tenth of the time
		return nil
	}
	var d differ
	d.compare("metadata", role{}, reflect.ValueOf(a.Metadata), reflect.ValueOf(b.Metadata))
	d.compare("", role{}, reflect.ValueOf(a.Spec), reflect.ValueOf(b.Spec))
	return d.changes
}

// differ walks two values of one type side by side. An invalid value stands for one that is not there.
type differ struct{ changes []Change }

// role is what the tags of a field say of its value.
type role struct {
	class    string
	required bool // said even when it is zero
	bytes    bool // a limit counted in bytes, shown with units
}

// item is the role of an entry of a list or map: it is said by being there.
func (r role) item() role { return role{class: r.class, required: true} }

// compare adds the changes from a to b at a path.
func (d *differ) compare(path string, r role, a, b reflect.Value) {
	if !a.IsValid() && !b.IsValid() {
		return
	}
	t := typeOf(a, b)
	switch {
	case t.Kind() == reflect.Pointer:
		d.pointer(path, r, a, b)
	case t.Kind() == reflect.Slice:
		for i := range max(length(a), length(b)) {
			d.compare(path+"["+strconv.Itoa(i)+"]", r.item(), index(a, i), index(b, i))
		}
	case t.Kind() == reflect.Map:
		for _, key := range unionKeys(a, b) {
			d.compare(joinKey(path, key), r.item(), entry(a, key), entry(b, key))
		}
	case t.Kind() == reflect.Struct && !isLeaf(t):
		d.fields(path, t, a, b)
	default:
		d.leaf(path, r.class, text(a, r), text(b, r))
	}
}

func (d *differ) leaf(path, class, before, after string) {
	if before != after {
		d.changes = append(d.changes, Change{path, class, before, after})
	}
}

// pointer compares objects that may not be there, and lists that tell "empty" from "not said": an empty one shows as [].
func (d *differ) pointer(path string, r role, a, b reflect.Value) {
	d.leaf(path, r.class, emptyList(a), emptyList(b))
	d.compare(path, r, elem(a), elem(b))
}

func emptyList(v reflect.Value) string {
	if v.IsValid() && !v.IsNil() && v.Elem().Kind() == reflect.Slice && v.Elem().Len() == 0 {
		return "[]"
	}
	return ""
}

func (d *differ) fields(path string, t reflect.Type, a, b reflect.Value) {
	for i, m := range members()[t] {
		if x, y := field(a, i), field(b, i); m.class != classIdentity && !unsaid(x, y) {
			d.compare(joinField(path, m.name), m.role, x, y)
		}
	}
}

// unsaid tells that two values are zero, which is what most fields are; objects are looked into.
func unsaid(a, b reflect.Value) bool {
	return a.IsValid() && b.IsValid() && a.Kind() != reflect.Struct && a.IsZero() && b.IsZero()
}

// classIdentity marks the name, which says what is compared rather than being compared.
const classIdentity = "identity"

func typeOf(a, b reflect.Value) reflect.Type {
	if a.IsValid() {
		return a.Type()
	}
	return b.Type()
}

func length(v reflect.Value) int {
	if !v.IsValid() {
		return 0
	}
	return v.Len()
}

func index(v reflect.Value, i int) reflect.Value {
	if i >= length(v) {
		return reflect.Value{}
	}
	return v.Index(i)
}

func elem(v reflect.Value) reflect.Value {
	if !v.IsValid() {
		return v
	}
	return v.Elem()
}

func field(v reflect.Value, i int) reflect.Value {
	if !v.IsValid() {
		return v
	}
	return v.Field(i)
}

func entry(v reflect.Value, key string) reflect.Value {
	if !v.IsValid() {
		return v
	}
	return v.MapIndex(reflect.ValueOf(key))
}

func unionKeys(a, b reflect.Value) []string {
	keys := map[string]bool{}
	for _, v := range []reflect.Value{a, b} {
		if !v.IsValid() {
			continue
		}
		for _, k := range v.MapKeys() {
			keys[k.String()] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}
