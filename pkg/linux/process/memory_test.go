package process_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// cgroup2 is the mount point of the cgroup v2 hierarchy.
func cgroup2(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	t.Skip("cgroup2: not mounted")
	return ""
}

func TestStartInCgroup(t *testing.T) {
	noLeaks(t)
	dir := makeCgroup(t, cgroup2(t))
	cgroup, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer cgroup.Close()
	for flags, want := range map[uint64]string{0: "0::/" + filepath.Base(dir), unix.CLONE_NEWCGROUP: "0::/"} {
		text := outputWith(t, map[string]*os.File{"cgroup": cgroup}, func(p *process.Program) {
			p.Clone = flags
			p.File("cgroup")
			p.Cgroup = "cgroup"
			exec(p, "/bin/cat", "/proc/self/cgroup")
		})
		if !strings.HasSuffix("\n"+text, "\n"+want) {
			t.Errorf("with flags %#x: %q, want %q", flags, text, want)
		}
	}
}

// A child that joins a cgroup with next to no memory shares this process's memory, yet only its own start may fail.
func TestTinyMemoryLimitSparesTheStarter(t *testing.T) {
	noLeaks(t)
	const root = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(filepath.Join(root, "memory.limit_in_bytes")); err != nil {
		t.Skip("cgroup v1 memory: not mounted")
	}
	dir := makeCgroup(t, root)
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte("131072"), 0); err != nil {
		t.Fatal(err)
	}
	tasks, err := os.OpenFile(filepath.Join(dir, "tasks"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tasks.Close()
	starved := 0
	for range 20 {
		p := &process.Program{Clone: unix.CLONE_NEWNS}
		p.Call("join", "memory", unix.SYS_WRITE, p.File("tasks"), process.Data([]byte("0")), process.Int(1))
		for range 200 {
			p.Call("mount", "/tmp", unix.SYS_MOUNT, process.Str("none"), process.Str("/tmp"), process.Str("tmpfs"), process.Int(0), process.Int(0))
		}
		exec(p, "/bin/true")
		child, err := process.Start(p, map[string]*os.File{"tasks": tasks})
		if err == nil {
			_, _ = process.Reap(child.Pidfd)
			_ = child.Pidfd.Close()
			continue
		}
		if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.ENOSPC) { // which one depends on what could not be allocated
			t.Errorf("err = %v", err)
		}
		starved++
	}
	if starved == 0 {
		t.Error("no start came to feel the limit")
	}
}

func TestDumpableStaysAsItWas(t *testing.T) {
	noLeaks(t)
	files := null(t)
	for _, want := range []int{1, 0} {
		if want == 0 {
			if err := process.Harden(); err != nil {
				t.Fatal(err)
			}
		}
		child, err := process.Start(isolated(), files) // changes its user
		if err != nil {
			t.Fatal(err)
		}
		_, _ = process.Reap(child.Pidfd)
		_ = child.Pidfd.Close()
		if got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); got != want || err != nil {
			t.Errorf("dumpable = %d, %v, want %d", got, err, want)
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}
