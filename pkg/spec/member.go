package spec

import (
	"reflect"
	"strings"
	"sync"
)

// member is the key and role of a struct's field.
type member struct {
	name string
	role
}

// members are the members of every struct of a manifest, by type and in order: reading tags anew for each comparison would cost more than comparing.
var members = sync.OnceValue(func() map[reflect.Type][]member {
	m := map[reflect.Type][]member{}
	addMembers(m, reflect.TypeFor[Container]())
	return m
})

func addMembers(m map[reflect.Type][]member, t reflect.Type) {
	if m[t] != nil {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, required := jsonName(f)
		m[t] = append(m[t], member{name, role{class: f.Tag.Get("class"), required: required, bytes: inBytes(f)}})
		if below, _ := shapeOf(f.Type); below.Kind() == reflect.Struct && !isLeaf(below) {
			addMembers(m, below)
		}
	}
}

// inBytes tells a limit that is tagged `unit:"bytes"`.
func inBytes(f reflect.StructField) bool { return f.Tag.Get("unit") == "bytes" }

// isLeaf tells quantities kept in structs from structs of fields.
func isLeaf(t reflect.Type) bool {
	return t == reflect.TypeFor[Limit]() || t == reflect.TypeFor[Cores]() || t == reflect.TypeFor[OOMScore]() || t == reflect.TypeFor[Number]()
}

// jsonName is the manifest's word for a field, and whether the field must be said.
func jsonName(f reflect.StructField) (name string, required bool) {
	name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name, options == ""
}
