package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/internal/comments"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const module = "github.com/seed31d4122e/reconciler/"

// schemas collects the schema of each struct that goes over the interface, once.
type schemas struct {
	root       string
	components node
	packages   map[string]comments.Package
	owners     map[string]reflect.Type
	err        error
}

// renamed are types whose own name another one has.
var renamed = map[reflect.Type]string{reflect.TypeFor[spec.Change](): "FieldChange"}

const (
	componentsPath = "#/components/schemas/"
	manifestSpec   = "ContainerSpec"
)

// manifestParts are types that the schema of manifests describes, by their place in a container's spec.
var manifestParts = map[reflect.Type]string{
	reflect.TypeFor[spec.ContainerSpec](): "",
	reflect.TypeFor[spec.Resources]():     "/properties/resources",
	reflect.TypeFor[spec.Capabilities]():  "/properties/security/properties/capabilities",
}

// newSchemas begins with that of a container's spec, which is the manifest's.
func newSchemas(root string) (*schemas, error) {
	var manifest struct {
		Defs struct {
			Spec node `json:"containerSpec"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(spec.Schema(), &manifest); err != nil {
		return nil, err
	}
	return &schemas{
		root: root, components: node{manifestSpec: manifest.Defs.Spec}, packages: map[string]comments.Package{}, owners: map[string]reflect.Type{},
	}, nil
}

// of is the schema of a value's type.
func (s *schemas) of(value any) node { return s.schema(reflect.TypeOf(value)) }

// schema is the schema of a type; that of a struct with a name is a reference.
func (s *schemas) schema(t reflect.Type) node {
	if place, ok := manifestParts[t]; ok {
		return node{"$ref": componentsPath + manifestSpec + place}
	}
	if leaf := spec.LeafSchema(t); leaf != nil {
		return leaf
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.schema(t.Elem())
	case reflect.Slice:
		return node{"type": "array", "items": s.schema(t.Elem())}
	case reflect.Map:
		return node{"type": "object", "additionalProperties": s.schema(t.Elem())}
	case reflect.Interface: // any value
		return node{}
	case reflect.Bool:
		return node{"type": "boolean"}
	case reflect.Float64:
		return node{"type": "number"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return node{"type": "integer"}
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return node{"type": "integer", "minimum": 0}
	case reflect.String:
		n := node{"type": "string"}
		if words := s.comments(t).Words(t.Name()); words != nil {
			n["enum"] = words
		}
		return n
	case reflect.Struct:
		return s.reference(t)
	}
	s.fail("no schema for %v", t)
	return nil
}

func (s *schemas) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// reference is the schema of a struct: a reference to a component, but for a time and for a struct of nothing.
func (s *schemas) reference(t reflect.Type) node {
	if t == reflect.TypeFor[time.Time]() {
		return node{"type": "string", "format": "date-time"}
	}
	if t.NumField() == 0 {
		return node{"type": "object"}
	}
	name := t.Name()
	if other, ok := renamed[t]; ok {
		name = other
	}
	if owner, ok := s.owners[name]; ok && owner != t {
		s.fail("%v and %v have the same name", owner, t)
	} else if !ok {
		s.owners[name] = t
		component := node{"type": "object", "description": s.doc(t)}
		properties, required := node{}, []string{}
		s.fields(t, properties, &required)
		component["properties"] = properties
		if len(required) > 0 {
			component["required"] = required
		}
		s.components[name] = component
	}
	return node{"$ref": componentsPath + name}
}

// fields adds the fields of a struct, and those of structs embedded in it, as encoding/json has them.
func (s *schemas) fields(t reflect.Type, properties node, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.fields(f.Type, properties, required)
			continue
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			s.fail("%v.%s has no name in JSON", t, f.Name)
		}
		property := s.schema(f.Type)
		if text := s.comments(t).Field(t.Name(), f.Name); text != "" {
			property["description"] = text
		}
		properties[name] = property
		if options == "" {
			*required = append(*required, name)
		}
	}
}

// doc is the comment of a type.
func (s *schemas) doc(t reflect.Type) string {
	d := s.comments(t)[t.Name()]
	if d == nil {
		s.fail("%v has no comment", t)
		return ""
	}
	return comments.OneLine(d.Doc)
}

// comments are those of the package of a type; none of a type that is not ours.
func (s *schemas) comments(t reflect.Type) comments.Package {
	dir, ours := strings.CutPrefix(t.PkgPath(), module)
	if !ours {
		return nil
	}
	if s.packages[dir] == nil {
		p, err := comments.Parse(filepath.Join(s.root, filepath.FromSlash(dir)))
		if err != nil {
			s.fail("cannot read the comments of %s: %v", dir, err)
			p = comments.Package{}
		}
		s.packages[dir] = p
	}
	return s.packages[dir]
}
