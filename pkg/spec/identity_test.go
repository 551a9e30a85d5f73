package spec_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const minimal = "apiVersion: reconciler/v1alpha1\nkind: Container\nmetadata: {name: web}\nspec:\n  rootfs: {path: /srv}\n  command: [x]\n"

// Identities of a version of the defaults never change: running containers carry them. A change of this file replaces every
// container of every node; add a version of the defaults instead.
func TestIdentityGolden(t *testing.T) {
	containers := map[string]string{
		"minimal":   minimal,
		"read-only": strings.Replace(minimal, "/srv}", "/srv, readOnly: true}", 1),
		"disk":      strings.Replace(minimal, "/srv}", "/srv, writable: {medium: Disk}}", 1),
		"unmasked":  minimal + "  security: {maskedPaths: [], readonlyPaths: []}\n",
		"odd":       minimal + `  env: {"a b": "", q: "\"", é: "x=z", l: "\n"}` + "\n",
		"typical":   readFile(t, "typical.yaml"),
		"full":      readFile(t, "full.yaml"),
	}
	var got strings.Builder
	for _, name := range slices.Sorted(maps.Keys(containers)) {
		fmt.Fprintf(&got, "%s v1 %s\n", name, spec.Identity(decodeOne(t, containers[name]), 1))
	}
	if want := readFile(t, "identity.golden"); got.String() != want {
		t.Errorf("got:\n%swant:\n%s", &got, want)
	}
}

// Said defaults are no other identity than unsaid ones, and order and spelling do not matter.
func TestIdentitySpellings(t *testing.T) {
	want := spec.Identity(decodeOne(t, minimal), 1)
	for _, said := range []string{
		"  user: \"0\"\n", "  umask: \"0022\"\n  workingDir: /\n", "  hostname: web\n", "  network: {mode: Private}\n", "  security: {seccomp: Default}\n",
		"  env: {}\n  mounts: []\n", "  init: false\n  oomScoreAdj: 0\n",
		"  state: Stopped\n  resources: {pids: {max: 3}}\n  restart: {policy: Never}\n  stop: {timeout: 1s}\n  logs: {maxFiles: 1}\n",
	} {
		if got := spec.Identity(decodeOne(t, minimal+said), 1); got != want {
			t.Errorf("%s has another identity", said)
		}
	}
}

// No two values look alike to the hash, however they are quoted.
func TestIdentityInjective(t *testing.T) {
	seen := map[string]string{}
	for _, said := range []string{
		"", `  env: {A: ""}`, `  env: {A: "\"\""}`, `  env: {A: "x\nenv.B=z"}`, `  env: {A: x, B: z}`, `  env: {A: " x"}`, `  env: {A: x}`, `  env: {A: "x "}`,
		`  env: {"A.B": x}`, `  env: {"A\"] x": z}`, `  mounts: [{type: tmpfs, destination: /a, options: [ro]}]`, `  mounts: [{type: tmpfs, destination: /a}]`,
		`  rlimits: {core: {soft: 0, hard: 0}}`, `  security: {maskedPaths: []}`, `  security: {readonlyPaths: []}`,
	} {
		id := spec.Identity(decodeOne(t, minimal+said+"\n"), 1)
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q have one identity", said, other)
		}
		seen[id] = said
	}
}

func ExampleDiff() {
	read := func(spelled string) spec.Container {
		documents, _ := spec.Decode("web.yaml", []byte(minimal+spelled))
		return documents[0].Container
	}
	before := read("  env: {LOG: info}\n  resources: {memory: {max: 512Mi}}\n")
	after := read("  env: {LOG: debug}\n  resources: {memory: {max: 1Gi}, pids: {max: 9}}\n  init: true\n")
	for _, c := range spec.Diff(before, after) {
		fmt.Printf("%-8s %s: %s -> %s\n", c.Class, c.Path, c.Old, c.New)
	}
	// Output:
	// replace  env.LOG: info -> debug
	// replace  init:  -> true
	// live     resources.memory.max: 512Mi -> 1Gi
	// live     resources.pids.max:  -> 9
}

func ExampleDecode() {
	_, problems := spec.Decode("web.yaml", []byte(minimal+"  resources:\n    memory: {maxx: 512Mi}\n  user: 1000\n"))
	fmt.Println(problems)
	// Output:
	// web.yaml:8:14: spec.resources.memory.maxx: unknown field
	// hint: did you mean max?
	// web.yaml:9:9: spec.user: 1000 without quotes is read as a number, not as a text
	// hint: write "1000"
}

func ExampleExplain() {
	f, _ := spec.Explain("spec.resources.memory.max")
	fmt.Printf("%s (%s, %s)\n%s\n", f.Path, f.Type, f.Class, f.Doc)
	_, ok := spec.Explain("spec.resources.memory.maxx")
	fmt.Println(ok, spec.Suggest("spec.resources.memory.maxx"))
	// Output:
	// spec.resources.memory.max (size or max, live)
	// Max is the hard limit; beyond it the kernel kills inside the container. Kernel file memory.max.
	// false spec.resources.memory.max
}

func TestExplainPaths(t *testing.T) {
	for path, want := range map[string]string{
		"": "", "container": "", "Container.spec.restart": "spec.restart", "resources.cpu": "spec.resources.cpu", "spec.mounts[0].source": "spec.mounts.source",
		"env.LOG": "spec.env", "rlimits.nofile.soft": "spec.rlimits.soft", "metadata.labels": "metadata.labels", "spec.": "spec",
	} {
		if f, ok := spec.Explain(path); !ok || f.Path != want {
			t.Errorf("%q explains %q, %v, want %q", path, f.Path, ok, want)
		}
	}
	for path, want := range map[string]string{
		"sepc.comand": "spec.command", "memory": "spec.resources.memory", "spec.timeout": "spec.stop.timeout", "nonsense": "", "spec.stop.signl": "spec.stop.signal",
	} {
		if _, ok := spec.Explain(path); ok {
			t.Errorf("%q explains something", path)
		}
		if got := spec.Suggest(path); got != want {
			t.Errorf("%q suggests %q, want %q", path, got, want)
		}
	}
}

func BenchmarkIdentity(b *testing.B) {
	c := decodeOne(b, readFile(b, "typical.yaml"))
	b.ReportAllocs()
	for b.Loop() {
		spec.Identity(c, 1)
	}
}

func BenchmarkDiff(b *testing.B) {
	old := decodeOne(b, readFile(b, "typical.yaml"))
	c := decodeOne(b, strings.Replace(readFile(b, "typical.yaml"), "info", "debug", 1))
	b.ReportAllocs()
	for b.Loop() {
		spec.Diff(old, c)
	}
}
