package kerneltest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

func TestMain(m *testing.M) { Main(m) }

func TestJudge(t *testing.T) {
	old := &feature.UnsupportedError{Feature: "pidfd-exit-info", Since: "6.15"}
	off := &feature.UnsupportedError{Feature: "overlay", Since: "5.2", Reason: "built out"}
	tests := []struct {
		name, release string
		answer        error
		skip          string
		fails         bool
	}{
		{"supported", "6.18.44", nil, "", false},
		{"kernel too old", "6.12.1+deb13-amd64", old, "skip: needs pidfd-exit-info: Linux 6.15, this is 6.12.1+deb13-amd64", false},
		{"kernel new enough", "6.15.0", old, "", true},
		{"next major version", "7.0", old, "", true},
		{"configured away", "6.18.44", off, "skip: needs overlay: built out", false},
		{"inconclusive", "6.18.44", &feature.InconclusiveError{Feature: "overlay", Err: unix.EPERM}, "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			skip, err := judge(test.answer, nil, test.release)
			if skip != test.skip || (err != nil) != test.fails {
				t.Errorf("judge = %q, %v; want %q, failure %v", skip, err, test.skip, test.fails)
			}
		})
	}
}

func TestAProbeWithoutPrivilegesIsNoFailure(t *testing.T) {
	answer := &feature.InconclusiveError{Feature: "cgroup.kill", Err: unix.EACCES}
	user := &feature.UnsupportedError{Feature: "privileges", Reason: "CAP_SYS_ADMIN is missing"}
	skip, err := judge(answer, user, "6.18")
	if want := "skip: needs privileges: CAP_SYS_ADMIN is missing"; skip != want || err != nil {
		t.Errorf("judge = %q, %v; want %q", skip, err, want)
	}
}

func TestDiffCountsLines(t *testing.T) {
	before := Inventory{"file a", "pipe", "pipe"}
	after := Inventory{"file b", "pipe", "pipe", "pipe"}
	want := []string{"- file a", "+ file b", "+ pipe"}
	if got := Diff(before, after); !slices.Equal(got, want) {
		t.Errorf("Diff = %q, want %q", got, want)
	}
	if got := Diff(before, before); got != nil {
		t.Errorf("Diff of equals = %q", got)
	}
}

// An inventory sees each kind of thing a test can leave behind.
func TestInventorySeesWhatIsLeft(t *testing.T) {
	parent, dir := Parent(t), t.TempDir()
	tree := Tree(t)
	scope := Scope{Parent: parent, Dirs: []string{dir}, Pids: []int{0}}
	before := Take(t, scope)

	group := filepath.Join(tree.Unified, parent)
	must(t, os.Mkdir(group, 0o755))
	sleep := exec.Command(busybox, "sleep", "1000")
	must(t, sleep.Start())
	t.Cleanup(func() { _, _ = sleep.Process.Kill(), sleep.Wait() })
	must(t, os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(sleep.Process.Pid)), 0))
	mounted := filepath.Join(dir, "mnt")
	must(t, os.Mkdir(mounted, 0o755))
	must(t, unix.Mount("none", mounted, "tmpfs", 0, "size=4k"))
	t.Cleanup(func() { _ = unix.Unmount(mounted, unix.MNT_DETACH) })
	open, err := os.Open(os.DevNull)
	must(t, err)
	defer open.Close()

	diff := strings.Join(Diff(before, Take(t, scope)), "\n")
	for _, want := range []string{
		"+ cgroup " + group, "+ task " + strconv.Itoa(sleep.Process.Pid) + " in " + group, "+ mount / of tmpfs on " + mounted,
		"+ file " + mounted, "+ descriptor of 0: /dev/null",
	} {
		if !strings.Contains(diff, want) {
			t.Errorf("no %q in\n%s", want, diff)
		}
	}
}

func TestParentIsGoneAfterItsTest(t *testing.T) {
	Root(t)
	var parent string
	t.Run("leaving a process in a cgroup in a cgroup", func(t *testing.T) {
		parent = Parent(t)
		nested := filepath.Join(Tree(t).Unified, parent, "web", "1")
		must(t, os.MkdirAll(nested, 0o755))
		sleep := exec.Command(busybox, "sleep", "1000")
		must(t, sleep.Start())
		go func() { _ = sleep.Wait() }()
		must(t, os.WriteFile(filepath.Join(nested, "cgroup.procs"), []byte(strconv.Itoa(sleep.Process.Pid)), 0))
	})
	for _, point := range mountPoints(Tree(t)) {
		if dirs := below(filepath.Join(point, parent)); dirs != nil {
			t.Errorf("left: %q", dirs)
		}
	}
}

func TestRootfsRuns(t *testing.T) {
	Root(t)
	root := Rootfs(t)
	out, err := exec.Command("/usr/sbin/chroot", root, "/bin/id", "web").CombinedOutput()
	want := "uid=1000(web) gid=1000(web) groups=1000(web),29(audio),44(video)\n"
	if err != nil || string(out) != want {
		t.Errorf("id web: %v, %q, want %q", err, out, want)
	}
}

func TestInSubprocessChangesOnlyThatProcess(t *testing.T) {
	InSubprocess(t, func(t *testing.T) {
		must(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	})
	if on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || on != 0 {
		t.Errorf("no_new_privs here is %d, %v", on, err)
	}
}

func TestInSubprocessPassesSkipsOn(t *testing.T) {
	t.Run("skipped", func(t *testing.T) {
		t.Cleanup(func() {
			if !t.Skipped() {
				t.Error("not skipped here")
			}
		})
		InSubprocess(t, func(t *testing.T) { t.Skip("skip: needs nothing: only to be skipped") })
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A canary notices what an escape could do to it, and nothing else.
func TestFingerprintSeesEveryChange(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("a"), 0o644))
	for name, change := range map[string]func() error{
		"nothing":   func() error { _, err := os.ReadFile(file); return err },
		"contents":  func() error { return os.WriteFile(file, []byte("b"), 0o644) },
		"mode":      func() error { return os.Chmod(file, 0o600) },
		"owner":     func() error { return os.Chown(file, 1, 1) },
		"time":      func() error { return os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)) },
		"attribute": func() error { return unix.Setxattr(file, "user.x", []byte("y"), 0) },
		"there and gone": func() error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "new"), 0o755), os.Remove(filepath.Join(dir, "new")))
		},
	} {
		if name == "owner" && os.Getuid() != 0 {
			continue
		}
		before := Fingerprint(t, dir)
		time.Sleep(20 * time.Millisecond) // the kernel's clock for files ticks with its timer
		must(t, change())
		if diff := Diff(before, Fingerprint(t, dir)); (diff != nil) != (name != "nothing") {
			t.Errorf("%s: %q", name, diff)
		}
	}
}
