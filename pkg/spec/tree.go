package spec

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// defaultName stands in the tree for the container's name where that is a default.
const defaultName = "metadata.name"

// trees are the documents of each kind as a whole: fields without a name whose Fields are apiVersion, kind, metadata and spec.
var trees = sync.OnceValue(func() map[string]*Field {
	sample := Defaulted(Container{Metadata: Metadata{Name: defaultName}}, DefaultsVersion)
	return map[string]*Field{
		KindContainer: treeOf(KindContainer, reflect.TypeFor[Container](), reflect.ValueOf(sample)),
		KindGroup:     treeOf(KindGroup, reflect.TypeFor[Group](), reflect.Value{}),
		KindJob:       treeOf(KindJob, reflect.TypeFor[Job](), reflect.Value{}),
		KindConfig:    treeOf(KindConfig, reflect.TypeFor[Config](), reflect.Value{}),
		KindPolicy:    treeOf(KindPolicy, reflect.TypeFor[NodePolicy](), reflect.Value{}),
	}
})

func treeOf(kind string, t reflect.Type, sample reflect.Value) *Field {
	return &Field{Type: kindNames[kindObject][0], Doc: docs[kind], Fields: fieldsOf("", t, sample)}
}

// fieldTree is the manifest of a container.
func fieldTree() *Field { return trees()[KindContainer] }

// fieldsOf are the fields of a struct type below a path. sample holds the defaults; invalid when there are none.
func fieldsOf(path string, t reflect.Type, sample reflect.Value) []Field {
	fields := make([]Field, 0, t.NumField())
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() {
			continue
		}
		fields = append(fields, fieldOf(path, sf, docs[t.Name()+"."+sf.Name], field(sample, i)))
	}
	return fields
}

func fieldOf(path string, sf reflect.StructField, doc string, sample reflect.Value) Field {
	tag := sf.Tag.Get
	f := Field{Class: tag("class"), Min: tag("min"), Max: tag("max"), Doc: doc, format: tag("format"), keys: tag("keys"), bytes: inBytes(sf)}
	f.name, f.Required = jsonName(sf)
	f.Path = joinField(path, f.name)
	if f.Class == classIdentity {
		f.Class = ""
	}
	var t reflect.Type
	t, f.shape = shapeOf(sf.Type)
	f.kind, f.Values, f.whole = kindOf(t), enums[t], t.Kind() == reflect.Uint64
	f.Type = f.typeName()
	switch {
	case f.kind == kindObject && sf.Type.Kind() == reflect.Pointer: // which is nil in every sample
		f.Fields = fieldsOf(f.Path, t, reflect.Value{})
	case f.kind == kindObject && f.shape == shapeOne:
		f.Fields = fieldsOf(f.Path, t, sample)
	case f.kind == kindObject:
		f.Fields = fieldsOf(f.Path, t, reflect.Value{})
	case sample.IsValid() && !f.Required:
		f.Default = defaultText(&f, sample)
	}
	return f
}

// shapeOf takes the pointer, list or map from around a type.
func shapeOf(t reflect.Type) (reflect.Type, shape) {
	switch t.Kind() {
	case reflect.Pointer:
		return shapeOf(t.Elem())
	case reflect.Slice:
		return t.Elem(), shapeList
	case reflect.Map:
		return t.Elem(), shapeMap
	}
	return t, shapeOne
}

// defaultText is a default as a manifest would say it; "" when nothing is said.
func defaultText(f *Field, sample reflect.Value) string {
	switch list, isList := sample.Interface().(*[]string); {
	case isList:
		return "[" + strings.Join(*list, ", ") + "]"
	case f.shape != shapeOne:
		return ""
	case f.kind == kindSwitch:
		return strconv.FormatBool(sample.Bool())
	}
	return text(sample, role{bytes: f.bytes})
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
	case reflect.TypeFor[Offset]():
		return kindOffset
	case reflect.TypeFor[OOMScore](), reflect.TypeFor[Number]():
		return kindNumber
	}
	switch t.Kind() {
	case reflect.Struct:
		return kindObject
	case reflect.String:
		return kindText
	case reflect.Bool:
		return kindSwitch
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return kindNumber
	}
	panic(fmt.Sprintf("spec: a manifest cannot hold a %v", t))
}
