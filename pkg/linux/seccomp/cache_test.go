package seccomp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// largeFile is a profile of the size that engines come with: some 380 names, 20 rules with conditions, three
// architectures.
func largeFile() spec.SeccompFile {
	names := slices.Sorted(maps.Keys(callsAMD64))
	for i, name := range slices.Sorted(maps.Keys(calls386)) {
		if i%7 == 0 {
			names = append(names, name)
		}
	}
	rare := func(name string) bool {
		return slices.Contains([]string{"socket", "personality", "clone"}, name) || len(name)%9 == 0
	}
	f := spec.SeccompFile{
		DefaultAction: spec.SeccompErrno, DefaultErrnoRet: spec.NewErrnoRet(1),
		ArchMap:  []spec.SeccompArchMap{{Architecture: spec.SeccompX8664, SubArchitectures: []spec.SeccompArch{spec.SeccompX86, spec.SeccompX32}}, {Architecture: spec.SeccompAARCH64, SubArchitectures: []spec.SeccompArch{spec.SeccompARM}}},
		Syscalls: []spec.SeccompFileRule{{Names: slices.DeleteFunc(names, rare), Action: spec.SeccompAllow}},
	}
	for i := range uint64(18) {
		name := []string{"personality", "socket", "prctl", "kcmp"}[i%4]
		f.Syscalls = append(f.Syscalls, spec.SeccompFileRule{Names: []string{name}, Action: spec.SeccompAllow, Args: []spec.SeccompArg{{Value: i << (i % 3 * 16), Op: spec.SeccompEqual}}})
	}
	f.Syscalls = append(f.Syscalls,
		spec.SeccompFileRule{Names: []string{"clone"}, Action: spec.SeccompAllow, Args: []spec.SeccompArg{{Value: 0x7e020000, Op: spec.SeccompMaskedEqual}}, Excludes: spec.SeccompWhere{Caps: []string{"CAP_SYS_ADMIN"}}},
		spec.SeccompFileRule{Names: []string{"clone", "unshare", "mount"}, Action: spec.SeccompAllow, Includes: spec.SeccompWhere{Caps: []string{"CAP_SYS_ADMIN"}}},
	)
	return f
}

func writeProfile(t testing.TB, f spec.SeccompFile) string {
	t.Helper()
	text, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return writeText(t, string(text))
}

func writeText(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "profile.json")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func byFile(path string) spec.Security {
	return spec.Security{Seccomp: spec.SeccompByProfile, SeccompProfileFile: path}
}

func same(a, b Plan) bool {
	return len(a.Filter) == len(b.Filter) && (len(a.Filter) == 0 || &a.Filter[0] == &b.Filter[0])
}

// What was compiled is given again, and something else for whatever makes a difference.
func TestCache(t *testing.T) {
	kerneltest.Root(t)
	var c Cache
	path := writeProfile(t, largeFile())
	admin := capability.Of(unix.CAP_SYS_ADMIN)
	inline := spec.Security{Seccomp: spec.SeccompByProfile, SeccompProfile: spec.SeccompProfile{DefaultAction: spec.SeccompLog}}
	other := inline
	other.SeccompProfile.DefaultAction = spec.SeccompAllow
	asked := []struct {
		what     string
		security spec.Security
		bounding capability.Set
	}{
		{"default", spec.Security{}, 0},
		{"default of an admin", spec.Security{Seccomp: spec.SeccompDefault}, admin},
		{"file", byFile(path), 0},
		{"file of an admin", byFile(path), admin},
		{"inline", inline, 0},
		{"another inline", other, 0},
	}
	var plans []Plan
	for _, a := range asked {
		plan, err := c.For(a.security, a.bounding)
		if err != nil {
			t.Fatalf("%s: %v", a.what, err)
		}
		if again, err := c.For(a.security, a.bounding); err != nil || !same(plan, again) {
			t.Errorf("%s: compiled twice, %v", a.what, err)
		}
		for i, p := range plans {
			if slices.Equal(p.Filter, plan.Filter) {
				t.Errorf("%s has the filter of %s", a.what, asked[i].what)
			}
		}
		plans = append(plans, plan)
	}
	if plan, err := c.For(spec.Security{Seccomp: spec.SeccompUnconfined}, 0); err != nil || plan.Filter != nil {
		t.Errorf("Unconfined: %v, %v", plan, err)
	}
	if _, err := c.For(spec.Security{Seccomp: "Loose"}, 0); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("an unknown mode: %v", err)
	}
	// A file is read each time.
	if err := os.WriteFile(path, []byte(`{"defaultAction": "SCMP_ACT_TRAP"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if plan, err := c.For(byFile(path), 0); err != nil || same(plan, plans[2]) {
		t.Errorf("the file has changed, the filter has not: %v", err)
	}
}

// However many profiles are asked for, by however many at once, few are kept, and not the one in use thrown away.
func TestCacheIsBounded(t *testing.T) {
	var c Cache
	first, err := c.Default(0)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range 40 {
				rule := spec.SeccompRule{Names: []string{"read"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(uint16(worker*40 + i))}
				p := spec.SeccompProfile{DefaultAction: spec.SeccompAllow, Syscalls: []spec.SeccompRule{rule}}
				if _, err := c.For(spec.Security{Seccomp: spec.SeccompByProfile, SeccompProfile: p}, 0); err != nil {
					t.Error(err)
				}
				if again, err := c.Default(0); err != nil || !same(first, again) {
					t.Errorf("the one in use was thrown away: %v", err)
				}
			}
		})
	}
	wait.Wait()
	if len(c.plans) != maxCached {
		t.Errorf("%d plans are kept, want %d", len(c.plans), maxCached)
	}
}

// Only a regular file that only root can change is read, and an error says which file and where in it.
func TestProfileFiles(t *testing.T) {
	kerneltest.Root(t)
	const good = `{"defaultAction": "SCMP_ACT_ALLOW"}`
	mode := func(m os.FileMode) string {
		path := writeText(t, good)
		if err := os.Chmod(path, m); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := writeText(t, good)
	if err := os.Chown(foreign, 1, 0); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, path, says string
		is               error
	}{
		{"none", "/nonexistent/web.json", "cannot open the seccomp profile /nonexistent/web.json", fs.ErrNotExist},
		{"a directory", t.TempDir(), "not a regular file", fs.ErrInvalid},
		{"a fifo", fifo, "not a regular file", fs.ErrInvalid},
		{"another's", foreign, "others than root can change it", fs.ErrInvalid},
		{"the group's", mode(0o664), "\nhint: chown root", fs.ErrInvalid},
		{"everybody's", mode(0o646), "others than root can change it", fs.ErrInvalid},
		{"a large one", writeText(t, strings.Repeat(" ", 1<<20+1)), "more than 1048576", fs.ErrInvalid},
		{"no JSON", writeText(t, "{\n\"defaultAction\": }"), "profile.json:2:18: not JSON", fs.ErrInvalid},
		{"a typing error", writeText(t, "{\n\"defaultAktion\": \"SCMP_ACT_ALLOW\"}"), "profile.json:2:1: defaultAktion: unknown field", fs.ErrInvalid},
		{"no such error", writeText(t, `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "ENONSENSE"}]}`), `syscalls[0].errno: unknown error "ENONSENSE"`, fs.ErrInvalid},
	} {
		_, err := new(Cache).For(byFile(c.path), 0)
		if !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: got %v, want %q", c.what, err, c.says)
		}
	}
	for what, path := range map[string]string{"mine": mode(0o600), "shown to all": mode(0o444)} {
		if _, err := new(Cache).For(byFile(path), 0); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The profiles that engines come with, where one is installed.
func TestProfilesOfEngines(t *testing.T) {
	kerneltest.Root(t)
	paths, _ := filepath.Glob("/usr/share/containers/seccomp.json")
	if len(paths) == 0 {
		t.Skip("skip: needs an engine's profile, /usr/share/containers/seccomp.json")
	}
	for _, path := range paths {
		for _, bounding := range []capability.Set{0, capability.Default, capability.UpTo(40)} {
			plan, err := new(Cache).For(byFile(path), bounding)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %d instructions", path, len(plan.Filter))
			nr := Native().Calls["bpf"]
			got, err := plan.Filter.Verdict(Call{Nr: nr, Arch: Native().Audit})
			if allowed := bounding.Has(unix.CAP_SYS_ADMIN); err != nil || (got == Allow) != allowed {
				t.Errorf("%s: bpf with %v: %#x, %v", path, bounding, got, err)
			}
		}
	}
}

// FuzzProfileFile: whatever a file holds, it gives a filter that the kernel loads, or an error that is fs.ErrInvalid.
func FuzzProfileFile(f *testing.F) {
	text, err := json.Marshal(largeFile())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, uint64(0))
	f.Add([]byte(`{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": [{"name": "clone", "action": "SCMP_ACT_TRACE", "errnoRet": 7, "args": [{"index": 0, "value": 18446744073709551615, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}, {"index": 0, "value": 1, "op": "SCMP_CMP_GE"}]}, {"names": ["socket", "ipc"], "action": "SCMP_ACT_KILL"}]}`), uint64(1))
	f.Fuzz(func(t *testing.T, text []byte, bounding uint64) {
		file, problems := spec.DecodeSeccomp("p", text)
		if problems != nil {
			return
		}
		for _, word := range []spec.SeccompArch{spec.SeccompX8664, spec.SeccompAARCH64} {
			native := machine(t, word)
			p, err := Resolve(file, Place{native, capability.Set(bounding), "6.1.0"})
			if err == nil {
				var policy Policy
				var archs []Arch
				if policy, archs, err = FromProfile(p, native); err == nil {
					var filter Filter
					if filter, err = Compile(policy, archs...); err == nil {
						err = filter.loadable()
						if err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if err != nil && !errors.Is(err, fs.ErrInvalid) {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkProfile(b *testing.B) {
	path := writeProfile(b, largeFile())
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	file, problems := spec.DecodeSeccomp(path, text)
	if problems != nil {
		b.Fatal(problems)
	}
	p, err := Resolve(file, Place{Native(), 0, "6.1.0"})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if _, problems := spec.DecodeSeccomp(path, text); problems != nil {
				b.Fatal(problems)
			}
		}
	})
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			if _, err := NewPlan(p); err != nil {
				b.Fatal(err)
			}
		}
	})
	var c Cache
	for what, s := range map[string]spec.Security{"file": byFile(path), "inline": {Seccomp: spec.SeccompByProfile, SeccompProfile: p}, "default": {}} {
		b.Run("hit/"+what, func(b *testing.B) {
			for b.Loop() {
				if _, err := c.For(s, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
