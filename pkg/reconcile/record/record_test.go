package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// sample is a record with something in every part.
func sample(name string) record.Record {
	at := time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)
	c := spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: name, Labels: map[string]string{"app": "<web>&"}}}
	c.Spec.Rootfs.Path = "/srv/web"
	c.Spec.Command = []string{"/bin/web", "--port=8080"}
	c.Spec.Resources.Memory.Max = spec.NewLimit(512 << 20)
	c.Spec.Resources.Memory.Swap = spec.MaxLimit()
	c.Spec.Stop.Timeout = spec.Duration(7 * time.Second)
	c.Spec.Security.MaskedPaths = &[]string{}
	return record.Record{
		Name: name, Source: "/etc/m", Path: "/etc/m/web.yaml", Line: 3, Container: c, Generation: 4, NextInstance: 3,
		Intent:   record.Intent{Verb: "Create", Instance: 2, Cause: "spec.command changed", Since: at},
		Runs:     record.Runs{Instance: 2, Starts: 5, Exited: true, Restarts: 4, Streak: 1},
		LastExit: &spec.Exit{Code: 137, Signal: "SIGKILL", Reason: spec.ExitOOMKilled, OOMKilled: true, StartedAt: at, FinishedAt: at.Add(time.Second)},
		Drift:    record.Drift{Count: 1, Last: at, Message: "memory.max"},
		Override: spec.Override{State: spec.StatePaused, Since: at},
		Restart:  record.Restart{Instance: 2, Starts: 5},
		Restore:  record.Restore{Image: "web/20261123-120000000", Instance: 2, Starts: 5},
		Images: record.Images{
			Tried: at, Failures: 2, Problem: "no room", Unable: "no criu",
			Bad: []record.BadImage{{Image: "web/20261123-120000000", Problem: "damaged"}, {Image: "base/20261123-120000000", Quick: 2}},
		},
		Origin:    record.Origin{Instance: 2, Starts: 5, Rung: record.RungOlder, Image: "web/20261123-110000000", Why: "the newest is damaged"},
		Suspended: true,
	}
}

// What a round changes in a record has to be saved: only manifests are told apart by their generations alone.
func TestSum(t *testing.T) {
	r := sample("web")
	r.History = []record.Revision{{Generation: 3}}
	fields := reflect.TypeFor[record.Record]()
	for i := range fields.NumField() {
		other := r
		field := reflect.ValueOf(&other).Elem().Field(i)
		if name := fields.Field(i).Name; field.IsZero() || name == "Container" {
			continue
		}
		field.SetZero()
		if other.Sum() == r.Sum() {
			t.Errorf("without %s it has the same sum", fields.Field(i).Name)
		}
	}
	other := r
	other.History = []record.Revision{{Generation: 2}}
	if other.Sum() == r.Sum() {
		t.Error("with another history it has the same sum")
	}
}

// open is a store in a directory of its own.
func open(t testing.TB) (*record.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "inventory")
	store, err := record.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store, dir
}

func load(t testing.TB, store *record.Store) record.Inventory {
	t.Helper()
	inv, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeeps(t *testing.T) {
	store, dir := open(t)
	want := sample("web")
	must(t, store.Save(want))
	must(t, store.Save(sample("db")))
	if got := load(t, store).Records["web"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	must(t, store.Delete("web"))
	must(t, store.Delete("web"))
	inv := load(t, store)
	if len(inv.Records) != 1 || len(inv.Problems) != 0 {
		t.Errorf("got %+v", inv)
	}
	info, err := os.Stat(filepath.Join(dir, "db.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// Whatever stands in the directory: the agent starts, what is whole is used, what is not is set aside and told.
func TestDamage(t *testing.T) {
	whole, err := record.Encode(sample("web"))
	must(t, err)
	newer := bytes.Replace(whole, []byte(`"schema":1`), []byte(`"schema":2`), 1)
	for name, damage := range map[string]struct {
		do       func(path string) error
		held     bool
		unharmed bool
	}{
		"empty": {do: func(path string) error { return os.WriteFile(path, nil, 0o600) }},
		"torn":  {do: func(path string) error { return os.WriteFile(path, whole[:len(whole)/2], 0o600) }},
		"zeros": {do: func(path string) error { return os.WriteFile(path, make([]byte, len(whole)), 0o600) }},
		"of db": {do: func(path string) error {
			data, _ := record.Encode(sample("db"))
			return os.WriteFile(path, data, 0o600)
		}},
		"huge":     {do: func(path string) error { return os.Truncate(path, 1<<40) }},
		"a fifo":   {do: func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) }},
		"a link":   {do: func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) }},
		"a device": {do: func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)) }},
		"a folder": {do: func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }},
		"newer":    {do: func(path string) error { return os.WriteFile(path, newer, 0o600) }, held: true},
		"half made": {do: func(path string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(path), "web.new"), whole[:9], 0o600)
		}, unharmed: true},
		"foreign": {do: func(path string) error { return os.WriteFile(filepath.Join(filepath.Dir(path), "README"), nil, 0o600) }, unharmed: true},
		"odd names": {do: func(path string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(path), "..\n\x1b[31m.json"), whole, 0o600)
		}, unharmed: true},
	} {
		t.Run(name, func(t *testing.T) {
			store, dir := open(t)
			must(t, store.Save(sample("web")))
			must(t, store.Save(sample("other")))
			must(t, damage.do(filepath.Join(dir, "web.json")))
			inv := load(t, store)
			if _, ok := inv.Records["other"]; !ok {
				t.Error("an unharmed record was lost")
			}
			_, kept := inv.Records["web"]
			if kept != damage.unharmed || damage.held != (inv.Held["web"] != nil) || (len(inv.Problems) == 0) != (damage.held || damage.unharmed) {
				t.Errorf("got %+v", inv)
			}
			if damage.held || damage.unharmed {
				return
			}
			must(t, store.Save(sample("web")))
			if inv := load(t, store); len(inv.Records) != 2 || len(inv.Problems) != 0 {
				t.Errorf("after saving anew: %+v", inv)
			}
		})
	}
}

// A record that cannot be read now may be whole: it stays where it is and holds its name, and is read when that is possible. Opening
// fails here for a write lease, see fcntl(2), as it would for want of descriptors.
func TestUnread(t *testing.T) {
	store, dir := open(t)
	want := sample("web")
	must(t, store.Save(want))
	f, err := os.OpenFile(filepath.Join(dir, "web.json"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("no write lease on %s: %v", dir, err)
	}
	inv := load(t, store)
	if err := inv.Held["web"]; !errors.Is(err, unix.EAGAIN) || len(inv.Records) != 0 || len(inv.Problems) != 0 {
		t.Errorf("got %+v", inv)
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	must(t, err)
	if inv := load(t, store); !reflect.DeepEqual(inv.Records["web"], want) || len(inv.Held) != 0 {
		t.Errorf("read again: %+v", inv)
	}
}

// mutate changes a few bytes: flips, cuts, doubles, and words that mean something to a reader.
func mutate(r *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(data) + 1)
		switch r.IntN(6) {
		case 0:
			data = data[:at]
		case 1:
			data = append(bytes.Clone(data[:at]), data...)
		case 2:
			words := []string{"null", "-1", "1e999", `"\ud800"`, "[[[[", "{}", "18446744073709551616", "\x00", `"schema":9,`}
			data = append(append(bytes.Clone(data[:at]), words[r.IntN(len(words))]...), data[at:]...)
		default:
			if at < len(data) {
				data[at] ^= 1 << r.IntN(8)
			}
		}
		if len(data) == 0 {
			break
		}
	}
	return data
}

// A record that was changed anywhere is refused, or says what it said before.
func TestMutations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	want := sample("web")
	whole, err := record.Encode(want)
	must(t, err)
	for range 10_000 {
		data := mutate(r, whole)
		if got, err := record.Decode("web", data); err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("accepted %q as\n%+v", data, got)
		}
	}
	for n := range whole[:len(whole)-1] {
		if _, err := record.Decode("web", whole[:n]); err == nil && n < len(whole)-1 {
			t.Fatalf("accepted when cut after %d bytes", n)
		}
	}
}

// A write that fails leaves the record before, and no other file.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"))
	defer unix.Unmount(dir, unix.MNT_DETACH)
	store, err := record.Open(dir)
	must(t, err)
	defer store.Close()
	must(t, store.Save(sample("web")))
	big := sample("web")
	big.Container.Spec.Env = map[string]string{"BIG": strings.Repeat("x", 64<<10)}
	if err := store.Save(big); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("got %v, want ENOSPC", err)
	}
	if inv := load(t, store); !reflect.DeepEqual(inv.Records["web"], sample("web")) {
		t.Errorf("got %+v", inv)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
	must(t, store.Save(sample("web")))
}

func FuzzDecode(f *testing.F) {
	whole, err := record.Encode(sample("web"))
	must(f, err)
	f.Add(whole)
	f.Add([]byte(`{"schema":1,"sum":"","record":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := record.Decode("web", data)
		if err != nil {
			return
		}
		again, err := record.Encode(r)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if second, err := record.Decode("web", again); err != nil || !reflect.DeepEqual(r, second) {
			a, _ := json.Marshal(r)
			b, _ := json.Marshal(second)
			t.Fatalf("read again: %v\n%s\n%s", err, a, b)
		}
	})
}
