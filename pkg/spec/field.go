package spec

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// Field is one key of a manifest. The tree of all fields is read once from the types of this package and their tags:
//
//	json:"key"         the key; a key without omitzero or omitempty must be said
//	class:"live"       what a change does: live, replace
//	format:"path"      the form of a text, of a list's items or of a map's values, see formats
//	keys:"label"       the form of a map's keys
//	min:"1" max:"10"   the bounds of a number or quantity
//	unit:"bytes"       a limit that counts bytes
type Field struct {
	// Path is the key with all keys above it: spec.resources.memory.max. Items of a list are below the list's own path.
	Path string `json:"path"`
	// Type is the kind of value in words: text, number, list of texts, map of objects.
	Type string `json:"type"`
	// Default is the value when nothing is said, "" when there is none.
	Default string `json:"default,omitzero"`
	// Class says what a change does: ClassLive, ClassReplace, or "" for what cannot change.
	Class string `json:"class,omitzero"`
	// Required tells whether the key must be said.
	Required bool `json:"required,omitzero"`
	// Values are the only words allowed, if they are few.
	Values []string `json:"values,omitzero"`
	// Min and Max bound a number or quantity, "" for no bound.
	Min string `json:"min,omitzero"`
	Max string `json:"max,omitzero"`
	// Doc is the field's comment.
	Doc string `json:"doc"`
	// Fields are the keys below this one.
	Fields []Field `json:"fields,omitzero"`

	name   string
	shape  shape
	kind   kind
	format string
	keys   string
	bytes  bool
}

// shape says whether a field is one value, a list or a map of them.
type shape int

const (
	shapeOne shape = iota
	shapeList
	shapeMap
)

// kind is the kind of a value.
type kind int

const (
	kindObject kind = iota
	kindText
	kindSwitch
	kindNumber
	kindLimit
	kindBytes
	kindCores
	kindDuration
)

// kindNames are the kinds as people read them, alone and in a list or map.
var kindNames = map[kind][2]string{
	kindObject:   {"object", "objects"},
	kindText:     {"text", "texts"},
	kindSwitch:   {"true or false", "switches"},
	kindNumber:   {"whole number", "whole numbers"},
	kindLimit:    {"number or max", "limits"},
	kindBytes:    {"size", "sizes"},
	kindCores:    {"processors or max", "limits"},
	kindDuration: {"duration", "durations"},
}

// enums are the words of the types that have only a few, the default first.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[State]():         words(StateRunning, StatePaused, StateStopped),
	reflect.TypeFor[Medium]():        words(MediumMemory, MediumDisk),
	reflect.TypeFor[Life]():          words(LifeStart, LifeInstance, LifeName),
	reflect.TypeFor[NetworkMode]():   words(NetworkPrivate, NetworkHost, NetworkNone),
	reflect.TypeFor[SeccompMode]():   words(SeccompDefault, SeccompUnconfined),
	reflect.TypeFor[RestartPolicy](): words(RestartAlways, RestartOnFailure, RestartNever),
}

func words[T ~string](values ...T) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return list
}

// fieldTree is the manifest as a whole: a field without a name whose Fields are apiVersion, kind, metadata and spec.
var fieldTree = sync.OnceValue(func() *Field {
	sample := Defaulted(Container{Metadata: Metadata{Name: "NAME"}}, DefaultsVersion)
	root := &Field{Type: kindNames[kindObject][0], Doc: docs["Container"]}
	root.Fields = fieldsOf("", reflect.TypeFor[Container](), reflect.ValueOf(sample))
	return root
})

// fieldsOf are the fields of a struct type below a path; sample holds the defaults.
func fieldsOf(path string, t reflect.Type, sample reflect.Value) []Field {
	fields := make([]Field, 0, t.NumField())
	for i := range t.NumField() {
		fields = append(fields, fieldOf(path, t, i, field(sample, i)))
	}
	return fields
}

func fieldOf(path string, parent reflect.Type, i int, sample reflect.Value) Field {
	sf := parent.Field(i)
	f := Field{
		Class: sf.Tag.Get("class"), Min: sf.Tag.Get("min"), Max: sf.Tag.Get("max"),
		Doc:    docs[parent.Name()+"."+sf.Name],
		format: sf.Tag.Get("format"), keys: sf.Tag.Get("keys"), bytes: inBytes(sf),
	}
	f.name, f.Required = jsonName(sf)
	f.Path = joinField(path, f.name)
	if f.Class == classIdentity {
		f.Class = ""
	}
	t := sf.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Slice:
		f.shape, t, sample = shapeList, t.Elem(), reflect.Value{}
	case reflect.Map:
		f.shape, t, sample = shapeMap, t.Elem(), reflect.Value{}
	}
	f.kind = kindOf(t)
	f.Values = enums[t]
	if f.kind == kindObject {
		f.Fields = fieldsOf(f.Path, t, sample)
	} else if sample.IsValid() && !f.Required {
		f.Default = defaultText(sample, f)
	}
	f.Type = f.typeName()
	return f
}

func defaultText(sample reflect.Value, f Field) string {
	if f.kind == kindSwitch {
		return strconv.FormatBool(sample.Bool())
	}
	return text(sample, role{bytes: f.bytes})
}

func (f *Field) typeName() string {
	names := kindNames[f.kind]
	switch {
	case f.shape == shapeList:
		return "list of " + names[1]
	case f.shape == shapeMap:
		return "map of " + names[1]
	case f.kind == kindLimit && f.bytes:
		return "size or max"
	}
	return names[0]
}

// kindOf is the kind of a Go type. Types it does not know are a mistake of whoever adds a field.
func kindOf(t reflect.Type) kind {
	switch t {
	case reflect.TypeFor[Limit]():
		return kindLimit
	case reflect.TypeFor[Bytes]():
		return kindBytes
	case reflect.TypeFor[Cores]():
		return kindCores
	case reflect.TypeFor[Duration]():
		return kindDuration
	}
	switch t.Kind() {
	case reflect.Struct:
		return kindObject
	case reflect.String:
		return kindText
	case reflect.Bool:
		return kindSwitch
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return kindNumber
	}
	panic(fmt.Sprintf("spec: a manifest cannot hold a %v", t))
}

// find is the field with a key, nil when there is none.
func (f *Field) find(name string) *Field {
	for i := range f.Fields {
		if f.Fields[i].name == name {
			return &f.Fields[i]
		}
	}
	return nil
}

// item is the field of an entry of a list or map: the same, but one.
func (f *Field) item() *Field {
	one := *f
	one.shape = shapeOne
	return &one
}

// names are the keys below a field.
func (f *Field) names() []string {
	list := make([]string, len(f.Fields))
	for i := range f.Fields {
		list[i] = f.Fields[i].name
	}
	return list
}

// Explain finds a field by its path, such as spec.resources.memory.max; "" is the manifest as a whole. A path may also begin with
// "container." or below spec, as in resources.memory; false when there is no such field (see Suggest).
func Explain(path string) (Field, bool) {
	path = strings.TrimSuffix(path, ".")
	if len(path) >= len(KindContainer) && strings.EqualFold(path[:len(KindContainer)], KindContainer) {
		path = strings.TrimPrefix(path[len(KindContainer):], ".")
	}
	for _, start := range []string{"", "spec."} {
		if f := fieldTree().at(start + path); f != nil {
			return *f, true
		}
	}
	return Field{}, false
}

// at is the field at a path below f, nil when there is none. Indexes such as [0] are passed over.
func (f *Field) at(path string) *Field {
	if path == "" {
		return f
	}
	name, rest, _ := strings.Cut(path, ".")
	name, _, _ = strings.Cut(name, "[")
	below := f.find(name)
	if below == nil {
		return nil
	}
	return below.at(rest)
}

// Suggest is the path of a field that an unknown path may have meant, "" when there is none like it.
func Suggest(path string) string {
	f, said := fieldTree(), ""
	for name := range strings.SplitSeq(path, ".") {
		below := f.find(name)
		if below == nil {
			if below = f.find(nearest(name, f.names())); below == nil {
				places := fieldTree().places(name)
				if len(places) == 0 {
					return ""
				}
				return places[0]
			}
		}
		f, said = below, below.Path
	}
	return said
}

// places are the paths of all fields below f with a key.
func (f *Field) places(name string) []string {
	var paths []string
	for i := range f.Fields {
		if f.Fields[i].name == name {
			paths = append(paths, f.Fields[i].Path)
		}
		paths = append(paths, f.Fields[i].places(name)...)
	}
	return paths
}
