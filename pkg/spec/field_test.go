package spec

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// all are the fields below f, in order.
func (f *Field) all() []*Field {
	var list []*Field
	for i := range f.Fields {
		list = append(list, &f.Fields[i])
		list = append(list, f.Fields[i].all()...)
	}
	return list
}

// Every field says what it is: a comment, a class, and for texts a format that exists.
func TestFieldsComplete(t *testing.T) {
	unclassed := []string{"apiVersion", "kind", "metadata", "metadata.name", "spec"}
	for _, f := range fieldTree().all() {
		if f.Doc == "" {
			t.Errorf("%s has no comment in docs_gen.go: run go generate", f.Path)
		}
		if want := !slices.Contains(unclassed, f.Path); (f.Class == ClassLive || f.Class == ClassReplace) != want {
			t.Errorf("%s has class %q", f.Path, f.Class)
		}
		if _, ok := formats()[f.format]; f.kind == kindText && f.Values == nil && !ok {
			t.Errorf("%s has the format %q, which is not in the table", f.Path, f.format)
		}
		if _, ok := formats()[f.keys]; f.shape == shapeMap && !ok {
			t.Errorf("%s has keys of the format %q, which is not in the table", f.Path, f.keys)
		}
		if f.Required && f.Default != "" {
			t.Errorf("%s must be said but has a default", f.Path)
		}
	}
}

// What is no container is explained as well, from its comment on.
func TestEveryKindExplained(t *testing.T) {
	for kind, tree := range trees() {
		for _, f := range append(tree.all(), tree) {
			if f.Doc == "" {
				t.Errorf("%s: %q has no comment in docs_gen.go: add the kind to genspec's rootTypes", kind, f.Path)
			}
		}
	}
}

// The default of every field is a value that the field takes.
func TestDefaultsValid(t *testing.T) {
	c := Defaulted(Container{Metadata: Metadata{Name: "web"}, Spec: ContainerSpec{Rootfs: Rootfs{Path: "/srv"}, Command: []string{"x"}}}, DefaultsVersion)
	if _, problems := Decode("defaults", Canonical(c)); problems != nil {
		t.Error(problems)
	}
	c.Spec.Rootfs.Writable = Writable{Medium: MediumDisk}
	if _, problems := Decode("defaults", Canonical(Defaulted(c, DefaultsVersion))); problems != nil {
		t.Error(problems)
	}
}

// Every bound in a tag reads as a value of its field.
func TestBounds(t *testing.T) {
	for _, f := range fieldTree().all() {
		for _, bound := range []string{f.Min, f.Max} {
			var err error
			switch {
			case bound == "":
			case f.kind == kindNumber:
				_, err = strconv.ParseInt(bound, 10, 64)
			default:
				err = checkQuantity(f, bound)
			}
			if err != nil {
				t.Errorf("%s: bound %q: %v", f.Path, bound, err)
			}
		}
	}
}

// Every constant of a type that has only a few words is among the words.
func TestEnumsComplete(t *testing.T) {
	listed := map[string][]string{}
	for typ, words := range enums {
		listed[typ.Name()] = words
	}
	for _, name := range []string{
		"container.go", "dependency.go", "job.go", "namespace.go", "network.go", "offset.go", "policy.go", "probe.go", "restart.go", "scheduling.go", "security.go", "update.go",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || v.Type == nil || len(v.Values) != 1 {
				return true
			}
			name := v.Type.(*ast.Ident).Name
			if word, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value); !slices.Contains(listed[name], word) {
				t.Errorf("%s of type %s is not in enums", word, name)
			}
			return true
		})
	}
}

// Every option of a file system has a form, and no other has one.
func TestMountOptions(t *testing.T) {
	words := map[string]bool{}
	for _, list := range MountOptions {
		for _, word := range list {
			words[word] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(optionValues)), slices.Sorted(maps.Keys(words)); !slices.Equal(got, want) {
		t.Errorf("forms of %v, want %v", got, want)
	}
}

// The patterns of the schema are of the syntax that Go and ECMAScript share: no classes by name, no flags, no lookaround.
func TestPatterns(t *testing.T) {
	for name, f := range formats() {
		if _, err := regexp.Compile(f.pattern); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(f.pattern, "(?") || strings.Contains(f.pattern, "[:") || strings.Contains(f.pattern, `\`) {
			t.Errorf("%s: pattern %s is not portable", name, f.pattern)
		}
	}
}

// change is the container with one field set to another value.
type change struct {
	path, class string
	at          func(*Container) reflect.Value // the field, in an object that is there
}

// eachChange gives one change for every field of a struct that follows the indexes from the root.
func eachChange(path string, t reflect.Type, indexes []int) []change {
	var changes []change
	for i := range t.NumField() {
		f := t.Field(i)
		name, _ := jsonName(f)
		at := append(slices.Clone(indexes), i)
		below := joinField(path, name)
		if object, _ := shapeOf(f.Type); object.Kind() == reflect.Struct && !isLeaf(object) && (f.Type == object || f.Type.Kind() == reflect.Pointer) {
			changes = append(changes, eachChange(below, object, at)...)
			continue
		}
		changes = append(changes, change{below, f.Tag.Get("class"), func(c *Container) reflect.Value {
			return fieldAt(reflect.ValueOf(c).Elem(), at)
		}})
	}
	return changes
}

// fieldAt is FieldByIndex that makes the objects which are not there.
func fieldAt(v reflect.Value, indexes []int) reflect.Value {
	for _, i := range indexes {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// alter gives a value another one of its type.
func alter(v reflect.Value) {
	switch v.Interface().(type) {
	case Limit:
		v.Set(reflect.ValueOf(NewLimit(4242)))
		return
	case Cores:
		v.Set(reflect.ValueOf(NewCores(4242)))
		return
	case OOMScore:
		v.Set(reflect.ValueOf(NewOOMScore(4242)))
		return
	case Number:
		v.Set(reflect.ValueOf(NewNumber(4242)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("altered")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 7)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 7)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		entry := reflect.New(v.Type().Elem()).Elem()
		alter(entry)
		m.SetMapIndex(reflect.ValueOf("altered"), entry)
		v.Set(m)
	case reflect.Struct:
		alter(v.Field(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		panic(v.Type().String())
	}
}

// A change of any one field is seen by Diff at its path and class, and changes the identity if and only if its class is replace.
func TestEveryField(t *testing.T) {
	base := Defaulted(Container{Metadata: Metadata{Name: "web"}}, 1)
	metadata, _ := reflect.TypeFor[Container]().FieldByName("Metadata")
	spec, _ := reflect.TypeFor[Container]().FieldByName("Spec")
	changes := append(eachChange("metadata", metadata.Type, metadata.Index), eachChange("", spec.Type, spec.Index)...)
	for _, change := range changes {
		if change.class == classIdentity {
			continue
		}
		before, c := base, base
		change.at(&before)
		alter(change.at(&c))
		diff := Diff(before, c)
		if len(diff) == 0 {
			t.Errorf("%s: no difference", change.path)
			continue
		}
		for _, d := range diff {
			if !strings.HasPrefix(d.Path, change.path) || d.Class != change.class || d.Old == d.New {
				t.Errorf("%s (%s) differs as %+v", change.path, change.class, d)
			}
		}
		if replaced := Identity(c, 1) != Identity(before, 1); replaced != (change.class == ClassReplace) {
			t.Errorf("%s (%s): identity changed: %v", change.path, change.class, replaced)
		}
	}
}
