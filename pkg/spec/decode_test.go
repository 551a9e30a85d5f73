package spec_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// decodeOne is the one valid document of a text.
// A problem is one line whatever its file is called, and an agent that stops reading at the bound does not make up a size.
func TestProblemOfFile(t *testing.T) {
	_, problems := spec.Decode("m\nhint: all is well", make([]byte, 3<<20))
	if got, want := problems.Error(), `m\nhint: all is well:1:1: the file has more than 1048576 bytes`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func decodeOne(t testing.TB, text string) spec.Container {
	t.Helper()
	documents, problems := spec.Decode("m", []byte(text))
	if problems != nil {
		t.Fatal(problems)
	}
	if len(documents) != 1 {
		t.Fatalf("%d documents, want 1", len(documents))
	}
	return documents[0].Container
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The manifest that says everything says it to every field.
func TestDecodeFull(t *testing.T) {
	got := decodeOne(t, readFile(t, "full.yaml"))
	none := []string{}
	want := spec.Container{
		APIVersion: spec.APIVersion,
		Kind:       spec.KindContainer,
		Metadata: spec.Metadata{
			Name:        "web",
			Labels:      map[string]string{"app": "web", "example.com/tier": "front"},
			Annotations: map[string]string{"note": "two\nlines"},
		},
		Spec: spec.ContainerSpec{
			State:            spec.StatePaused,
			Rootfs:           spec.Rootfs{Path: "/srv/web", Writable: spec.Writable{Medium: spec.MediumDisk, Size: 1 << 30, Life: spec.LifeName}},
			Command:          []string{"/bin/web", "--port=8080", ""},
			Env:              map[string]string{"LOG": "info", "EMPTY": "", "PORT": "8080", "YES": "yes"},
			User:             "daemon:1000",
			AdditionalGroups: []string{"audio", "44"},
			WorkingDir:       "/var/lib",
			Umask:            "0077",
			Hostname:         "web.example",
			Init:             true,
			Network:          spec.Network{Mode: spec.NetworkNone},
			Mounts: []spec.Mount{
				{Type: spec.MountBind, Source: "/srv/data", Destination: "/data", Options: []string{"rbind", "ro", "nosuid"}},
				{Type: spec.MountTmpfs, Destination: "/tmp", Options: []string{"size=64Mi", "mode=1777", "uid=0"}},
				{Type: spec.MountCgroup, Destination: "/sys/fs/cgroup"},
			},
			Security: spec.Security{
				Capabilities:       spec.Capabilities{Add: []string{"NET_ADMIN"}, Drop: []string{"ALL"}},
				AllowNewPrivileges: true,
				Seccomp:            spec.SeccompUnconfined,
				MaskedPaths:        &none,
				ReadonlyPaths:      &[]string{"/proc/sys"},
			},
			Sysctls:     map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096"},
			Rlimits:     map[string]spec.Rlimit{"nofile": {Soft: 1024, Hard: 4096}, "core": {Soft: 0, Hard: -1}},
			OOMScoreAdj: spec.NewOOMScore(-500),
			Resources: spec.Resources{
				Memory: spec.Memory{
					Max: spec.NewLimit(512 << 20), High: spec.NewLimit(448 << 20), Low: spec.NewLimit(0), Min: spec.NewLimit(1 << 20),
					Swap: spec.MaxLimit(), Zswap: spec.NewLimit(0), OOMGroup: true, OOMKillDisable: true, Swappiness: spec.NewNumber(0),
				},
				CPU: spec.CPU{
					Max: spec.NewCores(1_500_000), Period: spec.Duration(50 * time.Millisecond), Burst: spec.Duration(10 * time.Millisecond), Weight: 100,
					UclampMin: "12.5", UclampMax: "max", RTRuntime: spec.Duration(10 * time.Millisecond), RTPeriod: spec.Duration(time.Second),
				},
				Pids:   spec.Pids{Max: spec.NewLimit(200)},
				Cpuset: spec.Cpuset{Cpus: "0-3,8", Mems: "0"},
				IO: spec.IO{
					Weight: 200, DeviceWeights: map[string]uint64{"/dev/vda": 300},
					Max: map[string]spec.IOMax{
						"/dev/vda": {RBPS: spec.NewLimit(1 << 20), WIOPS: spec.MaxLimit()},
						"254:16":   {WBPS: spec.NewLimit(1_000_000), RIOPS: spec.NewLimit(100)},
					},
					Latency: map[string]spec.Duration{"/dev/vda": spec.Duration(75 * time.Millisecond)},
				},
				Hugetlb: spec.Hugetlb{Max: map[string]spec.Limit{"2MB": spec.NewLimit(64 << 20)}, Rsvd: map[string]spec.Limit{"1GB": spec.MaxLimit()}},
				RDMA:    spec.RDMA{Max: map[string]spec.RDMAMax{"mlx4_0": {HCAHandle: spec.NewLimit(2), HCAObject: spec.MaxLimit()}}},
				Misc:    spec.Misc{Max: map[string]spec.Limit{"sev": spec.NewLimit(4)}},
				NetCls:  spec.NetCls{ClassID: 1048577},
				NetPrio: spec.NetPrio{IfPrioMap: map[string]uint64{"eth0": 5, "lo": 0}},
				Unified: map[string]string{"memory.swap.high": "1048576"},
			},
			DeviceRules: []spec.DeviceRule{{}, {Allow: true, Type: spec.RuleChar, Major: spec.NewNumber(10), Minor: spec.NewNumber(200), Access: "rw"}},
			Restart: spec.Restart{Policy: spec.RestartOnFailure, Backoff: spec.Backoff{
				Initial: spec.Duration(500 * time.Millisecond), Max: spec.Duration(time.Minute), ResetAfter: spec.Duration(90 * time.Minute),
			}},
			Stop: spec.Stop{Signal: "SIGRTMIN+3", Timeout: spec.Duration(30 * time.Second)},
			Probes: spec.Probes{
				Startup: &spec.Probe{Exec: &spec.ExecProbe{Command: []string{"/bin/check", "--deep"}}, FailureThreshold: 30, Period: spec.Duration(time.Second)},
				Readiness: &spec.Probe{
					HTTP: &spec.HTTPProbe{
						Port: 8080, Path: "/ready?full=1", Scheme: spec.SchemeHTTPS, Host: "web.example:8080",
						Headers: map[string]string{"X-Probe": "yes", "Accept": "text/plain"}, Address: "::1",
					},
					InitialDelay: spec.Duration(5 * time.Second), Timeout: spec.Duration(250 * time.Millisecond), SuccessThreshold: 2,
				},
				Liveness: &spec.Probe{GRPC: &spec.GRPCProbe{Port: 9090, Service: "shop.v1.Cart"}},
			},
			Logs: spec.Logs{MaxSize: 5_000_000, MaxFiles: 3},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", spec.Canonical(got), spec.Canonical(want))
	}
	for _, change := range spec.Diff(want, got) {
		t.Error(change)
	}
}

// Good documents are returned beside bad ones, each with its line, and the bad ones' names are told.
func TestDecodeDocuments(t *testing.T) {
	const good, bad = "apiVersion: reconciler/v1alpha1\nkind: Container\nmetadata: {name: %s}\nspec: {rootfs: {path: /srv}, command: [x]}\n",
		"apiVersion: reconciler/v1alpha1\nkind: Container\nmetadata: {name: %s}\nspec: {}\n"
	text := "# first\n" + fmt.Sprintf(good, "a") + "---\n" + fmt.Sprintf(bad, "b") + "---\n---\n# nothing\n...\n--- # c\n" + fmt.Sprintf(good, "c") + "---\n{\n---\n" + fmt.Sprintf(bad, "D")
	documents, problems := spec.Decode("m", []byte(text))
	var got []string
	for _, d := range documents {
		got = append(got, fmt.Sprintf("%s:%d", d.Container.Metadata.Name, d.Line))
	}
	if want := "[a:2 c:16]"; fmt.Sprint(got) != want {
		t.Errorf("documents %v, want %s", got, want)
	}
	names := map[string]bool{}
	for _, p := range problems {
		names[p.Name] = true
	}
	if want := map[string]bool{"b": true, "": true}; !reflect.DeepEqual(names, want) {
		t.Errorf("names %v, want %v: %v", names, want, problems)
	}
}

// Comments, quotes, order, units, flow style, line ends and JSON make no difference to what is read.
func TestDecodeSpellings(t *testing.T) {
	plain := readFile(t, "full.yaml")
	want := spec.Canonical(decodeOne(t, plain))
	for name, text := range map[string]string{
		"crlf":      strings.ReplaceAll(plain, "\n", "\r\n"),
		"markers":   "---\n" + plain + "...\n",
		"trailing":  plain + "\n---\n# the end\n",
		"units":     strings.NewReplacer("512Mi", "536870912", `"1.5"`, "1500m", "90m", "1h30m").Replace(plain),
		"canonical": string(want),
	} {
		if got := spec.Canonical(decodeOne(t, text)); !bytes.Equal(got, want) {
			t.Errorf("%s: got:\n%s\nwant:\n%s", name, got, want)
		}
	}
}

// Empty lists and maps are the same as none, except where empty says something.
func TestDecodeEmpty(t *testing.T) {
	const head = "apiVersion: reconciler/v1alpha1\nkind: Container\nmetadata: {name: web}\nspec:\n  rootfs: {path: /srv}\n  command: [x]\n"
	want := decodeOne(t, head)
	got := decodeOne(t, head+"  env: {}\n  mounts: []\n  resources: {memory: {}}\n  security: {capabilities: {add: []}}\n")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %s, want %s", spec.Canonical(got), spec.Canonical(want))
	}
	masked := decodeOne(t, head+"  security: {maskedPaths: []}\n")
	if changes := spec.Diff(want, masked); len(changes) != 1 || changes[0].New != "[]" {
		t.Errorf("got %v, want maskedPaths to become []", changes)
	}
}

// bombs are small or bounded texts that ask for much time or memory.
func bombs() map[string]string {
	const size = 1 << 20
	fill := func(part string) string { return strings.Repeat(part, size/len(part)) }
	return map[string]string{
		"brackets":  fill("["),
		"braces":    fill("{a: "),
		"balanced":  strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"items":     "[" + strings.Repeat("a,", 49_000) + "]",
		"keys":      "{" + strings.Repeat("a: ,", 49_000) + "}",
		"dashes":    fill("- "),
		"questions": fill("? "),
		"lines":     strings.Repeat("- a #x\n", 49_000),
		"words":     fill("a "),
		"quoted":    `"` + fill(`\n`)[:size-2] + `"`,
		"comments":  strings.Repeat("#\n", 49_000),
		"documents": strings.Repeat("---\na\n", 999),
		"too many":  strings.Repeat("---\na\n", 1001),
		"too large": fill("a ") + "a",
		"commas":    fill(","),
		"newlines":  fill("\n"),
		"one key":   "?" + fill(" a"),
		"laughs":    "a: &a [x]\n" + strings.Repeat("b: &b [*a, *a, *a, *a]\n", 10_000),
		"unknown":   "apiVersion: reconciler/v1alpha1\nkind: Container\nspec: {" + strings.Repeat("rootsf: 1, ", 50_000) + "}",
		"misspelt":  strings.Repeat("---\napiVersion: reconciler/v1alpha1\nkind: Container\nspec: {roots: 1, b: 1, c: 1, d: 1}\n", 900),
		"lists":     strings.Repeat("---\n"+strings.Repeat("- ", 500)+"a\n", 900),
		"digits":    "apiVersion: " + strings.Repeat("9", size/2),
	}
}

// Every bomb is a problem with a short message, and no document.
func TestDecodeBombs(t *testing.T) {
	for name, text := range bombs() {
		documents, problems := spec.Decode("m", []byte(text))
		if len(documents) > 0 || len(problems) == 0 {
			t.Errorf("%s: %d documents and %d problems", name, len(documents), len(problems))
		}
		for _, p := range problems {
			if len(p.Error()) > 1000 {
				t.Errorf("%s: a problem of %d bytes", name, len(p.Error()))
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	text := []byte(readFile(b, "typical.yaml"))
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := spec.Decode("m", text); problems != nil {
			b.Fatal(problems)
		}
	}
}

func BenchmarkBombs(b *testing.B) {
	for name, text := range bombs() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				spec.Decode("m", []byte(text))
			}
		})
	}
}
