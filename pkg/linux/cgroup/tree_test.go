package cgroup

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestParseTree(t *testing.T) {
	tests := []struct {
		name, mountinfo string
		want            Tree
	}{
		{
			"pure v2", `
24 1 0:22 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 24 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot`,
			Tree{Unified: "/sys/fs/cgroup"},
		},
		{
			"hybrid", `
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime shared:9 master:2 - cgroup cgroup rw,cpuset
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw`,
			Tree{Unified: "/sys/fs/cgroup/unified", V1: map[string]string{
				"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "cpuset": "/sys/fs/cgroup/cpuset", "freezer": "/sys/fs/cgroup/freezer",
			}},
		},
		{"mounted twice: the first", `
31 23 0:28 / /a rw - cgroup2 none rw
32 23 0:28 / /b rw - cgroup2 none rw`, Tree{Unified: "/a"}},
		{"hidden by a later mount of the same point", `
31 23 0:27 / /sys/fs/cgroup rw - cgroup2 none rw
32 31 0:28 / /sys/fs/cgroup rw - tmpfs none rw
33 32 0:27 / /sys/fs/cgroup/unified rw - cgroup2 none rw`, Tree{Unified: "/sys/fs/cgroup/unified"}},
		{"a name with a space", `31 23 0:27 / /c\040group\134 rw - cgroup2 none rw`, Tree{Unified: `/c group\`}},
		{"broken lines", "31 23\n - \n\n31 23 0:27 / /c rw - cgroup2 none rw\nx y z - cgroup2", Tree{Unified: "/c"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseTree(strings.NewReader(test.mountinfo))
			if err != nil || got.Unified != test.want.Unified || !maps.Equal(got.V1, test.want.V1) {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestParseTreeWithoutUnifiedNamesTheRemedy(t *testing.T) {
	_, err := ParseTree(strings.NewReader("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"))
	if !errors.Is(err, ErrNoUnified) || !strings.Contains(err.Error(), "hint: mount -t cgroup2") {
		t.Errorf("got %v", err)
	}
}

func TestLockHolder(t *testing.T) {
	locks := `1: POSIX  ADVISORY  WRITE 11 00:26:5678 0 EOF
2: -> FLOCK  ADVISORY  WRITE 12 00:26:5678 0 EOF
3: FLOCK  ADVISORY  WRITE 1234 00:26:5678 0 EOF
4: OFDLCK ADVISORY  WRITE -1 00:26:5678 0 EOF
`
	if pid := lockHolder(locks, "00:26:5678"); pid != 1234 {
		t.Errorf("pid %d, want 1234: the holder, not who waits", pid)
	}
	if pid := lockHolder(locks, "00:26:56"); pid != 0 {
		t.Errorf("pid %d for another inode", pid)
	}
}

// The kernel limits notices of one file to one in 10 ms, so an overflow cannot be provoked in a test's time.
func TestAnOverflowIsEventLost(t *testing.T) {
	w := &Watcher{watches: map[int32]*watch{}}
	if e, ok := w.notice(-1, unix.IN_Q_OVERFLOW); !ok || e != (spec.Event{Kind: spec.EventLost}) {
		t.Errorf("got %+v, %v", e, ok)
	}
	if e, ok := w.notice(5, unix.IN_MODIFY); ok {
		t.Errorf("a watch that was removed gives %+v", e)
	}
}

func FuzzParseTree(f *testing.F) {
	f.Add("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 none rw")
	f.Add("32 31 0:29 / /c\\040x\\ rw shared:1 - cgroup cgroup rw,cpu,memory")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		tree, err := ParseTree(strings.NewReader(mountinfo))
		if (err == nil) != (tree.Unified != "") {
			t.Errorf("%+v, %v", tree, err)
		}
	})
}
