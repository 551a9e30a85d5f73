package rootfs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
1000:x:0:0:a name of digits:/root:/bin/sh
daemon:x:2:3:daemon:/var/run:/bin/false
daemon:x:0:0:the second line:/root:/bin/sh
web:x:1000:1000::/srv/web
nohome:x:7:7
relative:x:8:8::home
wraps:x:4294967296:0::/
minus:x:-1:0::/
unset:x:4294967295:0::/
empty:x::0::/
badgroup:x:9:many::/
:x:10:10::/`

const group = `root:x:0:
www:x:33:web,daemon
1000:x:0:web
logs:x:44:other,web
logs2:x:44:web
again:x:1000:web
broken:x:y:web
short:x
max:x:4294967294:web`

func newRoot(t *testing.T, files map[string]string) (*rootfs.Root, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, dir
}

func TestUser(t *testing.T) {
	root, _ := newRoot(t, map[string]string{"etc/passwd": passwd, "etc/group": group})
	for _, tt := range []struct {
		user       string
		additional []string
		want       rootfs.User
	}{
		{"", nil, rootfs.User{Name: "root", Home: "/root"}},
		{"0", nil, rootfs.User{Name: "root", Home: "/root"}},
		{"root", nil, rootfs.User{Name: "root", Home: "/root"}},
		{"daemon", nil, rootfs.User{UID: 2, GID: 3, Groups: []uint32{33}, Name: "daemon", Home: "/var/run"}},
		{"1000", nil, rootfs.User{UID: 1000, GID: 1000, Groups: []uint32{0, 33, 44, 4294967294}, Name: "web", Home: "/srv/web"}},
		{"web:1", nil, rootfs.User{UID: 1000, GID: 1, Groups: []uint32{0, 33, 44, 1000, 4294967294}, Name: "web", Home: "/srv/web"}},
		{"web:www", nil, rootfs.User{UID: 1000, GID: 33, Groups: []uint32{0, 44, 1000, 4294967294}, Name: "web", Home: "/srv/web"}},
		{"5:1000", nil, rootfs.User{UID: 5, GID: 1000, Home: "/"}},
		{"4294967294", nil, rootfs.User{UID: 4294967294, Home: "/"}},
		{"1", nil, rootfs.User{UID: 1, Home: "/"}},
		{"007", nil, rootfs.User{UID: 7, GID: 7, Name: "nohome", Home: "/"}},
		{"relative", []string{"www", "44", "8", "44"}, rootfs.User{UID: 8, GID: 8, Groups: []uint32{33, 44}, Name: "relative", Home: "/"}},
	} {
		got, err := root.User(tt.user, tt.additional)
		if err != nil || !equal(got, tt.want) {
			t.Errorf("%q %q: %+v, %v, want %+v", tt.user, tt.additional, got, err, tt.want)
		}
	}
}

func equal(a, b rootfs.User) bool {
	return slices.Equal(a.Groups, b.Groups) && a.UID == b.UID && a.GID == b.GID && a.Name == b.Name && a.Home == b.Home
}

// CVE-2016-3697, 2026-30892, containerd 2026-46680: no spelling of an id becomes root.
func TestRefusedUsers(t *testing.T) {
	root, _ := newRoot(t, map[string]string{"etc/passwd": passwd, "etc/group": group})
	for user, want := range map[string]error{
		"4294967295": fs.ErrInvalid, "4294967296": fs.ErrInvalid, "2147483648000": fs.ErrInvalid,
		"18446744073709551616": fs.ErrInvalid, ":": fs.ErrInvalid, ":1": fs.ErrInvalid, "root:": fs.ErrInvalid,
		"wraps": fs.ErrInvalid, "minus": fs.ErrInvalid, "unset": fs.ErrInvalid, "empty": fs.ErrInvalid, "badgroup": fs.ErrInvalid,
		"0:4294967296": fs.ErrInvalid, "root:broken": fs.ErrInvalid,
		"-1": fs.ErrNotExist, "+0": fs.ErrNotExist, "0x0": fs.ErrNotExist, " 0": fs.ErrNotExist, "stranger": fs.ErrNotExist,
		"root:strangers": fs.ErrNotExist, "root:short": fs.ErrNotExist, "root:0:0": fs.ErrNotExist,
	} {
		if got, err := root.User(user, nil); !errors.Is(err, want) {
			t.Errorf("%q: %+v, %v, want %v", user, got, err, want)
		}
	}
	if _, err := root.User("0", []string{"strangers"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("additional group: %v", err)
	}
}

func TestUserWithoutFiles(t *testing.T) {
	root, dir := newRoot(t, nil)
	for range 2 {
		if got, err := root.User("12:34", []string{"56"}); err != nil || !equal(got, rootfs.User{UID: 12, GID: 34, Groups: []uint32{56}, Home: "/"}) {
			t.Errorf("%+v, %v", got, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "etc"), nil, 0o644); err != nil { // a file where the directory should be
			t.Fatal(err)
		}
	}
}

// What an image puts in the place of /etc/passwd can neither block, nor feed without end, nor lead out.
func TestHostilePasswd(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("evil:x:0:0::/\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		put  func(path string) error
		want error
	}{
		"fifo":      {func(p string) error { return unix.Mkfifo(p, 0o666) }, fs.ErrInvalid},
		"socket":    {func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o666, 0) }, fs.ErrInvalid},
		"directory": {func(p string) error { return os.Mkdir(p, 0o755) }, fs.ErrInvalid},
		"huge": {func(p string) error {
			return errors.Join(os.WriteFile(p, nil, 0o644), os.Truncate(p, 100<<20))
		}, fs.ErrInvalid},
		"one endless line": {func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("a:", 1<<18)), 0o644) }, fs.ErrNotExist},
		"absolute link":    {func(p string) error { return os.Symlink(outside, p) }, fs.ErrNotExist},
		"relative link":    {func(p string) error { return os.Symlink("../../../../../../../.."+outside, p) }, fs.ErrNotExist},
		"link to itself":   {func(p string) error { return os.Symlink("passwd", p) }, unix.ELOOP},
		"device":           {func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) }, fs.ErrInvalid},
	} {
		root, dir := newRoot(t, map[string]string{"etc/group": group})
		if err := tt.put(filepath.Join(dir, "etc/passwd")); errors.Is(err, unix.EPERM) {
			t.Logf("%s: capability MKNOD is missing", name)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if got, err := root.User("evil", nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, tt.want)
		}
	}
}

func TestLinksInside(t *testing.T) {
	root, dir := newRoot(t, map[string]string{"nix/store/passwd": "web:x:1:2::/w\n"})
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "etc"), 0o755), os.Symlink("/nix/store/passwd", filepath.Join(dir, "etc/passwd"))); err != nil {
		t.Fatal(err)
	}
	if got, err := root.User("web", nil); err != nil || got.UID != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMissingAndOrdinary(t *testing.T) {
	root, dir := newRoot(t, map[string]string{"proc/x": "", "file": ""})
	if err := os.Symlink("proc", filepath.Join(dir, "sys")); err != nil {
		t.Fatal(err)
	}
	got, err := root.Missing([]string{"/proc", "/dev", "/sys/x", "/sys/y", "/file"})
	if err != nil || !slices.Equal(got, []string{"/dev", "/sys/y"}) {
		t.Errorf("%q, %v", got, err)
	}
	for path, want := range map[string]error{"/proc": nil, "/dev": nil, "/sys": fs.ErrInvalid, "/file": fs.ErrInvalid} {
		if err := root.Ordinary(path); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestCandidates(t *testing.T) {
	for _, tt := range []struct {
		command, path string
		want          []string
	}{
		{"/bin/sh", "/usr/bin", []string{"/bin/sh"}},
		{"./run", "/usr/bin", []string{"./run"}},
		{"sh", "/usr/bin:/bin/:", []string{"/usr/bin/sh", "/bin/sh"}},
		{"sh", ".:bin::/a", []string{"/a/sh"}},
		{"sh", "", []string{"/usr/local/sbin/sh", "/usr/local/bin/sh", "/usr/sbin/sh", "/usr/bin/sh", "/sbin/sh", "/bin/sh"}},
	} {
		if got := rootfs.Candidates(tt.command, tt.path); !slices.Equal(got, tt.want) {
			t.Errorf("%s in %s: %q", tt.command, tt.path, got)
		}
	}
}
