package oci_test

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// leavesOf walks a type.
func leavesOf(t reflect.Type, path string, visit func(path string, t reflect.Type) (below bool)) {
	switch t.Kind() {
	case reflect.Pointer:
		leavesOf(t.Elem(), path, visit)
	case reflect.Slice, reflect.Map:
		if t.Elem().Kind() == reflect.Struct && visit(path, t) {
			leavesOf(t.Elem(), path+"[]", visit)
			return
		}
		visit(path, t)
	case reflect.Struct:
		if path != "" && !visit(path, t) {
			return
		}
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous:
				leavesOf(f.Type, path, visit)
			case path == "":
				leavesOf(f.Type, name, visit)
			default:
				leavesOf(f.Type, path+"."+name, visit)
			}
		}
	default:
		visit(path, t)
	}
}

// Every property of the specification's types is translated, ignored or refused.
func TestFieldsAreComplete(t *testing.T) {
	rows := map[string]bool{}
	for _, f := range oci.Fields {
		if rows[f.Field] {
			t.Errorf("%s has two rows", f.Field)
		}
		rows[f.Field] = true
	}
	known := map[string]bool{}
	leavesOf(reflect.TypeFor[specs.Spec](), "", func(path string, typ reflect.Type) bool {
		known[path] = true
		_, isIgnored := oci.Ignored[path]
		_, isRefused := oci.Refused[path]
		isObject := typ.Kind() == reflect.Struct // which counts by what is below it
		if !isObject && !strings.HasSuffix(path, "[]") && !rows[path] && !isIgnored && !isRefused {
			t.Errorf("%s has no row, and is neither ignored nor refused", path)
		}
		return !isIgnored && !isRefused
	})
	for field := range rows {
		if !known[field] {
			t.Errorf("the specification has no %s", field)
		}
	}
	for _, list := range []map[string]string{oci.Ignored, oci.Refused} {
		for field, why := range list {
			if !known[field] || why == "" {
				t.Errorf("the specification has no %s, or there is no reason (%q)", field, why)
			}
		}
	}
}

func full(t *testing.T) *specs.Spec {
	t.Helper()
	text, err := os.ReadFile("testdata/full.json")
	if err != nil {
		t.Fatal(err)
	}
	config := &specs.Spec{}
	if err := json.Unmarshal(text, config); err != nil {
		t.Fatal(err)
	}
	return config
}

// others are different values for texts that cannot be just any.
var others = map[string]string{
	"/bin/true": "/bin/false", "A=b": "A=c", "CAP_CHOWN": "CAP_KILL", "CAP_KILL": "CAP_FOWNER", "RLIMIT_NOFILE": "RLIMIT_NPROC", "SCHED_DEADLINE": "SCHED_IDLE",
	"IOPRIO_CLASS_BE": "IOPRIO_CLASS_RT", "bind": "bind2", "rbind": "bind", "idmap": "ridmap", "MPOL_BIND": "MPOL_LOCAL", "c": "b", "rslave": "rshared",
	"user": "pid", "mount": "cgroup", "SCMP_ACT_ERRNO": "SCMP_ACT_LOG",
}

// valuesOf walks a value and gives what can be changed, with how.
func valuesOf(v reflect.Value, path string, visit func(path string, change func() (undo func()))) {
	set := func(to reflect.Value) {
		visit(path, func() func() {
			was := reflect.New(v.Type()).Elem()
			was.Set(v)
			v.Set(to)
			return func() { v.Set(was) }
		})
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			valuesOf(v.Elem(), path, visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous:
				valuesOf(v.Field(i), path, visit)
			case path == "":
				valuesOf(v.Field(i), name, visit)
			default:
				valuesOf(v.Field(i), path+"."+name, visit)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 {
			return
		}
		set(reflect.Zero(v.Type()))
		for i := range v.Len() {
			if e := v.Index(i); e.Kind() == reflect.Struct {
				valuesOf(e, path+"[]", visit)
			} else {
				valuesOf(e, path, visit)
			}
		}
	case reflect.Map:
		if v.Len() == 0 {
			return
		}
		set(reflect.Zero(v.Type()))
		for _, key := range v.MapKeys() {
			if v.MapIndex(key).Kind() != reflect.Struct {
				continue
			}
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(key))
			valuesOf(e, path+"[]", func(path string, change func() func()) {
				visit(path, func() func() {
					undo := change()
					v.SetMapIndex(key, e)
					return func() { undo(); v.SetMapIndex(key, e) }
				})
			})
		}
	case reflect.String:
		other, ok := others[v.String()]
		if !ok {
			other = v.String() + "2"
		}
		set(reflect.ValueOf(other).Convert(v.Type()))
	case reflect.Bool:
		set(reflect.ValueOf(!v.Bool()))
	case reflect.Int, reflect.Int32, reflect.Int64:
		set(reflect.ValueOf(v.Int() + 1).Convert(v.Type()))
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		set(reflect.ValueOf(v.Uint() + 1).Convert(v.Type()))
	}
}

// snapshot is a translation as a text: it shares memory with its configuration.
func snapshot(t *testing.T, tr oci.Translation) string {
	t.Helper()
	text, err := json.MarshalIndent(tr, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Changing any property that has a row changes the translation, or is refused; a property that is ignored changes nothing.
func TestEveryFieldCounts(t *testing.T) {
	config := full(t)
	first, err := oci.Translate(config, "/bundle")
	if err != nil {
		t.Fatal(err)
	}
	base := snapshot(t, first)
	seen := map[string]bool{}
	valuesOf(reflect.ValueOf(config).Elem(), "", func(path string, change func() func()) {
		if path == "ociVersion" || strings.HasPrefix(path, "process.execCPUAffinity") { // of a further process
			seen[path] = true
			return
		}
		undo := change()
		got, err := oci.Translate(config, "/bundle")
		isSame := err == nil && snapshot(t, got) == base
		undo()
		seen[path] = seen[path] || !isSame
	})
	for path, counts := range seen {
		if _, isIgnored := oci.Ignored[path]; !counts && !isIgnored {
			t.Errorf("a change of %s changes nothing", path)
		}
	}
	for _, f := range oci.Fields {
		_, isRefused := oci.Refused[f.Field]
		isObject := slices.ContainsFunc(oci.Fields, func(o oci.Field) bool { return strings.HasPrefix(o.Field, f.Field+".") })
		if !seen[f.Field] && !isRefused && !isObject {
			t.Errorf("testdata/full.json does not say %s", f.Field)
		}
	}
	if again, err := oci.Translate(config, "/bundle"); err != nil || snapshot(t, again) != base {
		t.Errorf("the changes were not undone: %v", err)
	}
}

func TestAffinityIsOfFurtherProcesses(t *testing.T) {
	config := full(t)
	base, err := oci.Translate(config, "/bundle")
	if err != nil {
		t.Fatal(err)
	}
	further, err := oci.TranslateProcess(base, config.Process)
	if err != nil || base.Container.Spec.CPUAffinity.Final != "" || further.Container.Spec.CPUAffinity.Final != "0" {
		t.Errorf("got %+v of the container and %+v of a further process, %v", base.Container.Spec.CPUAffinity, further.Container.Spec.CPUAffinity, err)
	}
}

// What is refused or ignored.
func TestRefusedAndIgnored(t *testing.T) {
	said := map[string]func(*specs.Spec){
		"vm":               func(s *specs.Spec) { s.VM = &specs.VM{} },
		"linux.intelRdt":   func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} },
		"linux.netDevices": func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}} },
	}
	for field := range oci.Refused {
		config := full(t)
		said[field](config)
		if _, err := oci.Translate(config, "/bundle"); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	config := full(t)
	base, _ := oci.Translate(config, "/bundle")
	config.Windows, config.Solaris, config.ZOS, config.FreeBSD = &specs.Windows{}, &specs.Solaris{}, &specs.ZOS{}, &specs.FreeBSD{}
	config.Process.CommandLine, config.Process.User.Username = "x", "x"
	n, yes := int64(1), true
	//lint:ignore SA1019 deprecated, and still said
	config.Linux.Resources.Memory.Kernel, config.Linux.Resources.Memory.KernelTCP, config.Linux.Resources.Memory.UseHierarchy = &n, &n, &yes
	config.Linux.Resources.Memory.CheckBeforeUpdate = &yes
	if got, err := oci.Translate(config, "/bundle"); err != nil || !reflect.DeepEqual(got, base) {
		t.Errorf("what is ignored changed the translation, or is refused: %v", err)
	}
}

// The keys that rows name are those of a manifest.
func TestFieldsNameKeys(t *testing.T) {
	for _, f := range oci.Fields {
		if strings.HasPrefix(f.Word, "(") || f.Word == "" {
			continue
		}
		keys, _, _ := strings.Cut(f.Word, " (")
		for key := range strings.SplitSeq(keys, ", ") {
			path := "spec." + key
			if strings.HasPrefix(key, "metadata.") {
				path = key
			}
			if _, ok := spec.Explain(path); !ok {
				t.Errorf("%s names %s, which no manifest has", f.Field, path)
			}
		}
	}
}
