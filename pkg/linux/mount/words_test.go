package mount_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// look shows the mounts at points as a container sees them: flags|type|options|propagation.
func look(t *testing.T, c spec.Container, facts mount.Facts, points ...string) []string {
	t.Helper()
	got, err := runWith(t, c, facts, "while read -r line; do echo \"$line\"; done < /proc/self/mountinfo")
	must(t, err)
	seen := make([]string, len(points))
	for line := range strings.Lines(got) {
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		f, super := strings.Fields(before), strings.Fields(after)
		for i, p := range points {
			if f[4] == p {
				kinds := []string{"private"}
				if len(f) > 6 {
					kinds = nil
					for _, k := range f[6:] {
						k, _, _ = strings.Cut(k, ":")
						kinds = append(kinds, k)
					}
				}
				seen[i] = strings.Join([]string{f[5], super[0], super[2], strings.Join(kinds, ",")}, "|")
			}
		}
	}
	return seen
}

// Each word for a flag is seen from inside: on a bind whose source has everything, on a new file system, and recursively.
func TestFlagsFromInside(t *testing.T) {
	needRoot(t)
	host := t.TempDir()
	must(t, unix.Mount("source", host, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(host, unix.MNT_DETACH)) })
	must(t, os.Mkdir(host+"/sub", 0o755))
	must(t, unix.Mount("below", host+"/sub", "tmpfs", 0, ""))
	for _, at := range []string{host, host + "/sub"} {
		must(t, unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_NOATIME|unix.MS_NODIRATIME|unix.MS_NOSYMFOLLOW, ""))
	}
	const all = "ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow"
	for _, tt := range []struct{ set, cleared, takes string }{
		{"ro", "rw", "ro"},
		{"nosuid", "suid", "nosuid"},
		{"nodev", "dev", "nodev"},
		{"noexec", "exec", "noexec"},
		{"noatime", "atime", "noatime"},
		{"noatime", "relatime", "noatime"},
		{"noatime", "strictatime", "noatime"},
		{"nodiratime", "diratime", "nodiratime"},
		{"nosymfollow", "symfollow", "nosymfollow"},
	} {
		mounts := []spec.Mount{
			{Type: "proc", Destination: "/proc"},
			{Type: "tmpfs", Destination: "/new", Options: []string{tt.set}},
			{Type: "bind", Source: host, Destination: "/one", Options: []string{"rbind", tt.cleared}},
			{Type: "bind", Source: host, Destination: "/all", Options: []string{"rbind", "r" + tt.cleared}},
		}
		c := exact(newRootfs(t), mounts, func(s *spec.ContainerSpec) { s.Rootfs.Propagation = spec.PropagationRPrivate })
		got := look(t, c, mount.Facts{}, "/new", "/one", "/one/sub", "/all", "/all/sub")
		want := strings.Split(all, ",")
		want = slices.DeleteFunc(want, func(w string) bool { return w == tt.takes })
		if tt.cleared == "rw" {
			want = slices.Insert(want, 0, "rw")
		}
		for i, line := range got {
			flags, _, _ := strings.Cut(line, "|")
			words := strings.Split(flags, ",")
			switch {
			case i == 0 && !slices.Contains(words, tt.set):
				t.Errorf("new with %s: %s", tt.set, line)
			case i == 2 && !same3(words, strings.Split(all, ",")):
				t.Errorf("below one with %s: %s", tt.cleared, line)
			case (i == 1 || i > 2) && !same3(without(words, "relatime"), want):
				t.Errorf("%d with %s: %s, want %s", i, tt.cleared, line, want)
			}
		}
	}
}

func without(words []string, word string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == word })
}

func same3(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// The words for a file system itself are seen in its options; those that nobody can see do not keep it from being made.
func TestSuperFlagsFromInside(t *testing.T) {
	for words, want := range map[string]string{
		"sync": "rw,sync", "sync async": "rw", "dirsync": "rw,dirsync", "lazytime": "rw,lazytime", "lazytime nolazytime": "rw", "mand": "rw,mand",
		"nomand": "rw", "silent": "rw", "loud": "rw", "silent sync size=4m": "rw,sync,size=4096k", "iversion": "rw", "noiversion": "rw", "acl": "rw", "noacl": "rw",
		"iversion lazytime mode=700": "rw,lazytime,mode=700", "defaults": "rw",
	} {
		for _, kind := range []string{"tmpfs", "ramfs"} {
			c := exact(newRootfs(t), []spec.Mount{{Type: "proc", Destination: "/proc"}, {Type: kind, Destination: "/new", Options: strings.Fields(words)}}, nil)
			if kind == "ramfs" && strings.Contains(words, "=") {
				continue
			}
			got := strings.Split(look(t, c, mount.Facts{}, "/new")[0], "|")
			if options := strings.ReplaceAll(got[2], ",relatime", ""); got[1] != kind || options != want && options != want+",inode64" {
				t.Errorf("%s with %s: %s, want %s", kind, words, options, want)
			}
		}
	}
}

// What is said of a whole tree overrules what is said of its top, wherever it stands.
func TestRecursiveFlagsComeLast(t *testing.T) {
	options := []string{"rnodev", "rro", "rnoatime", "dev", "rw", "relatime"}
	got := look(t, exact(newRootfs(t), []spec.Mount{
		{Type: "proc", Destination: "/proc"},
		{Type: "tmpfs", Destination: "/new", Options: options},
		{Type: "bind", Source: t.TempDir(), Destination: "/bind", Options: options},
	}, nil), mount.Facts{}, "/new", "/bind")
	for i, line := range got {
		if flags, _, _ := strings.Cut(line, "|"); flags != "ro,nodev,noatime" {
			t.Errorf("%s: %s", []string{"tmpfs", "bind"}[i], flags)
		}
	}
}

// Propagation is a word of every type.
func TestPropagationFromInside(t *testing.T) {
	needRoot(t)
	host := t.TempDir()
	must(t, unix.Mount("source", host, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(host, unix.MNT_DETACH)) })
	must(t, unix.Mount("", host, "", unix.MS_SHARED, ""))
	for word, want := range map[string][2]string{
		"private": {"private", "private"}, "rprivate": {"private", "private"}, "slave": {"private", "master"}, "rslave": {"private", "master"},
		"shared": {"shared", "shared,master"}, "rshared": {"shared", "shared,master"}, "unbindable": {"unbindable", "unbindable"}, "runbindable": {"unbindable", "unbindable"}, "": {"private", "master"},
	} {
		m := []spec.Mount{{Type: "proc", Destination: "/proc"}, {Type: "tmpfs", Destination: "/new"}, {Type: "bind", Source: host, Destination: "/bind"}}
		if word != "" {
			m[1].Options, m[2].Options = []string{word}, []string{word}
		}
		for i, line := range look(t, exact(newRootfs(t), m, nil), mount.Facts{}, "/new", "/bind") {
			if got := line[strings.LastIndex(line, "|")+1:]; got != want[i] {
				t.Errorf("%q on %s: %s, want %s", word, []string{"tmpfs", "bind"}[i], got, want[i])
			}
		}
	}
}

// A mount keeps what is said of it below a shared one, and in a user namespace, where all mounts begin anew. Out to the node goes only what rootfs and
// mount both say.
func TestPropagationAmongMounts(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	host := t.TempDir()
	must(t, unix.Mount("source", host, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(host, unix.MNT_DETACH)) })
	must(t, unix.Mount("", host, "", unix.MS_SHARED, ""))
	plain := t.TempDir()
	must(t, os.Mkdir(plain+"/below", 0o755))
	must(t, unix.Mount("below", plain+"/below", "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(plain+"/below", unix.MNT_DETACH)) })
	must(t, unix.Mount("", plain+"/below", "", unix.MS_PRIVATE, ""))
	root := newRootfs(t)
	must(t, os.Chown(root, int(ids.UIDs[0].HostID), int(ids.GIDs[0].HostID)))
	mounts := []spec.Mount{
		{Type: "proc", Destination: "/proc"},
		{Type: "tmpfs", Destination: "/top", Options: []string{"shared"}},
		{Type: "tmpfs", Destination: "/top/private", Options: []string{"private"}},
		{Type: "tmpfs", Destination: "/top/silent"},
		{Type: "bind", Source: host, Destination: "/top/slave", Options: []string{"slave"}},
		{Type: "bind", Source: host, Destination: "/both", Options: []string{"shared"}},
		{Type: "bind", Source: plain, Destination: "/one", Options: []string{"rbind", "shared"}},
	}
	for _, tt := range []struct {
		root  spec.Propagation
		facts mount.Facts
		want  string
	}{
		{"", mount.Facts{}, "shared private shared master shared,master private"},
		{"", mount.Facts{IDs: ids}, "shared private shared master shared,master private"},
		{"rprivate", mount.Facts{}, "shared private shared private shared private"},
		{"shared", mount.Facts{}, "shared private shared master shared private"},
	} {
		c := exact(root, mounts, func(s *spec.ContainerSpec) { s.Rootfs.Propagation = tt.root })
		var got []string
		for _, line := range look(t, c, tt.facts, "/top", "/top/private", "/top/silent", "/top/slave", "/both", "/one/below") {
			got = append(got, line[strings.LastIndex(line, "|")+1:])
		}
		same(t, string(tt.root)+" "+fmt.Sprint(tt.facts.IDs), strings.Join(got, " "), tt.want)
	}
}

// What is mounted on the node below a direct rootfs comes into a slave, and nothing that a container mounts goes out.
func TestRootPropagation(t *testing.T) {
	needRoot(t)
	shared := t.TempDir()
	must(t, unix.Mount("source", shared, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(shared, unix.MNT_DETACH)) })
	must(t, unix.Mount("", shared, "", unix.MS_SHARED, ""))
	root := filepath.Join(shared, "root")
	must(t, os.CopyFS(root, os.DirFS(newRootfs(t))))
	must(t, os.Mkdir(root+"/late", 0o755))
	before := mountinfo(t)
	for propagation, want := range map[spec.Propagation]string{
		"": "master", "rprivate": "private", "private": "private", "rslave": "master", "slave": "master", "rshared": "shared,master", "shared": "shared,master",
		"runbindable": "unbindable", "unbindable": "unbindable",
	} {
		c := exact(root, []spec.Mount{{Type: "proc", Destination: "/proc"}, {Type: "tmpfs", Destination: "/late"}}, func(s *spec.ContainerSpec) { s.Rootfs.Propagation = propagation })
		line := look(t, c, mount.Facts{}, "/")[0]
		if got := line[strings.LastIndex(line, "|")+1:]; got != want {
			t.Errorf("%q: %s, want %s", propagation, got, want)
		}
	}
	same(t, "the node's mounts", mountinfo(t), before)
}

// Every option of a tmpfs has its effect or is refused by name.
func TestTmpfsOptionsFromInside(t *testing.T) {
	c := exact(newRootfs(t), []spec.Mount{
		{Type: "proc", Destination: "/proc"},
		{Type: "tmpfs", Destination: "/a", Options: []string{"size=10%", "nr_inodes=2k", "mode=711", "uid=3", "gid=4", "noswap", "inode32", "huge=never", "mpol=local"}},
		{Type: "tmpfs", Destination: "/b", Options: []string{"nr_blocks=16"}},
	}, nil)
	got := look(t, c, mount.Facts{}, "/a", "/b")
	for _, want := range []string{"nr_inodes=2048", "mode=711", "uid=3", "gid=4", "noswap", "mpol=local"} {
		if !strings.Contains(got[0], want) {
			t.Errorf("no %s in %s", want, got[0])
		}
	}
	if !strings.Contains(got[1], "size=64k") {
		t.Errorf("nr_blocks=16: %s", got[1])
	}
	for _, word := range []string{"nonsense", "size=lots", "huge=sometimes", "context=", "upperdir=/etc"} {
		c.Spec.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/a", Options: []string{word}}}
		if _, err := run(t, c, "", "true"); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(word, "=")) {
			t.Errorf("%s: %v", word, err)
		}
	}
}

// File systems of any type can be mounted, with their options, if the manifest names them.
func TestOtherTypes(t *testing.T) {
	host := t.TempDir()
	for _, d := range []string{"lower", "upper", "work"} {
		must(t, os.Mkdir(filepath.Join(host, d), 0o755))
	}
	must(t, os.WriteFile(host+"/lower/file", []byte("below\n"), 0o644))
	c := container(newRootfs(t), func(s *spec.ContainerSpec) {
		s.Mounts = []spec.Mount{
			{Type: "overlay", Destination: "/o", Options: []string{"lowerdir=" + host + "/lower", "upperdir=" + host + "/upper", "workdir=" + host + "/work", "nodev"}},
			{Type: "ramfs", Destination: "/r", Options: []string{"mode=700", "ro"}},
		}
	})
	got := look(t, c, mount.Facts{}, "/o", "/r")
	if !strings.HasPrefix(got[0], "rw,nodev,relatime|overlay|rw,lowerdir="+host) || !strings.HasPrefix(got[1], "ro,relatime|ramfs|ro,mode=700") {
		t.Errorf("%q", got)
	}
	same(t, "the overlay", sh(t, c, "busybox cat /o/file; echo more > /o/new"), "below")
	if _, err := os.Stat(host + "/upper/new"); err != nil {
		t.Error(err)
	}
	c.Spec.Mounts[0].Options = append(c.Spec.Mounts[0].Options, "bogus=1")
	if _, err := run(t, c, "", "true"); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "option bogus=1") {
		t.Errorf("an option nobody knows: %v", err)
	}
	c = exact(newRootfs(t), []spec.Mount{{Type: "nosuchfs", Destination: "/a"}}, nil)
	if _, err := run(t, c, "", "true"); !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "nosuchfs") {
		t.Errorf("a type nobody knows: %v", err)
	}
}

// A file system on a device is mounted from it.
func TestDeviceTypes(t *testing.T) {
	needRoot(t)
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	must(t, err)
	must(t, f.Truncate(4<<20))
	must(t, f.Close())
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Skipf("feature ext4: mkfs.ext4: %v: %s", err, out)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		t.Skipf("feature loop devices: losetup: %v", err)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { must(t, exec.Command("losetup", "--detach", device).Run()) })
	c := container(newRootfs(t), func(s *spec.ContainerSpec) {
		s.Mounts = []spec.Mount{{Type: "ext4", Source: device, Destination: "/disk", Options: []string{"noatime", "lazytime", "data=ordered"}}}
	})
	same(t, "inside", sh(t, c, `busybox ls /disk; busybox touch /disk/x && busybox awk '$5 == "/disk" {print $6, $8, $9}' /proc/self/mountinfo`), "lost+found\nrw,noatime ext4 "+device)
}
