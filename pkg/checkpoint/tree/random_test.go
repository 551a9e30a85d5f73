package tree_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// vandal changes a tree at random. What cannot be done (a directory over a file, attributes of a pipe) is not done.
type vandal struct {
	*rand.Rand
	top string
	all []string // the names there were when it looked last
	ids uint32   // the first id that files are given to
}

// changes are what it does to a name there is, or to one there may not be.
var changes = []func(v *vandal, path string){
	func(v *vandal, path string) { v.write(path, os.O_TRUNC, v.bytes(v.IntN(20000))) },
	func(v *vandal, path string) { v.write(path, os.O_TRUNC, v.bytes(v.IntN(20))) },
	func(v *vandal, path string) { v.sparse(path) },
	func(v *vandal, path string) { _ = os.Mkdir(path, 0o755) },
	func(v *vandal, path string) { _ = os.Mkdir(path, 0o755) },
	func(v *vandal, path string) { _ = os.Symlink(v.link(), path) },
	func(v *vandal, path string) { _ = os.Link(v.old(), path) },
	func(v *vandal, path string) { _ = unix.Mkfifo(path, 0o600) },
	func(v *vandal, path string) {
		_ = unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1+v.Uint32N(4000), v.Uint32N(1<<20))))
	},
	func(v *vandal, path string) {
		_ = unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(v.Uint32N(4000), v.Uint32N(1<<20))))
	},
	func(v *vandal, path string) { _ = os.Rename(v.old(), path) },
	func(v *vandal, path string) { _ = os.Remove(path) },
	func(v *vandal, path string) { _ = os.RemoveAll(path) },
	func(v *vandal, path string) { _ = os.RemoveAll(path); _ = os.Mkdir(path, 0o700) },
	func(v *vandal, path string) { _ = os.RemoveAll(path); v.write(path, os.O_TRUNC, v.bytes(9)) },
	func(v *vandal, path string) { v.write(path, os.O_APPEND, v.bytes(v.IntN(5000))) },
	func(v *vandal, path string) { v.write(path, os.O_APPEND, v.bytes(v.IntN(5000))) },
	func(v *vandal, path string) { v.truncate(path, v.Int64N(30000)) },
	func(v *vandal, path string) { _ = os.Lchown(path, int(v.id()), int(v.id())) },
	func(v *vandal, path string) { _ = chmod(path, v.Uint32N(0o10000)) },
	func(v *vandal, path string) { _ = unix.Lsetxattr(path, "user."+v.name(), v.bytes(v.IntN(300)), 0) },
	func(v *vandal, path string) { _ = unix.Lremovexattr(path, "user."+v.name()) },
	func(v *vandal, path string) { _ = unix.Lsetxattr(path, "security.capability", v.capability(), 0) },
	func(v *vandal, path string) { _ = unix.Lsetxattr(path, "system.posix_acl_access", v.acl(), 0) },
	func(v *vandal, path string) { _ = unix.Lsetxattr(path, "system.posix_acl_default", v.acl(), 0) },
	func(v *vandal, path string) {
		at := unix.NsecToTimespec(v.Int64N(4e18) - 2e18)
		_ = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	},
}

// run does a number of changes.
func (v *vandal) run(count int) {
	for i := range count {
		if i%8 == 0 {
			v.look()
		}
		change := changes[v.IntN(len(changes))]
		path := v.old()
		if v.IntN(2) == 0 {
			path = filepath.Join(v.directory(), v.name())
		}
		// Below what became a pipe there is nothing, and to look would be to wait.
		if st, err := os.Lstat(filepath.Dir(path)); path != v.top && err == nil && st.IsDir() {
			change(v, path)
		}
	}
}

func (v *vandal) look() {
	v.all = v.all[:0]
	_ = filepath.WalkDir(v.top+"/", func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			v.all = append(v.all, strings.TrimSuffix(path, "/"))
		}
		return nil
	})
}

func (v *vandal) old() string { return v.all[v.IntN(len(v.all))] }

func (v *vandal) directory() string {
	for range 20 {
		path := v.old()
		if st, err := os.Lstat(path); err == nil && st.IsDir() {
			return path
		}
	}
	return v.top
}

// name is one of few names, or a strange one: all bytes but zero and slashes are allowed.
func (v *vandal) name() string {
	if v.IntN(4) > 0 {
		return string(rune('a' + v.IntN(12)))
	}
	length := 1 + v.IntN(12)
	if v.IntN(8) == 0 {
		length = 200
	}
	b := v.bytes(length)
	for i := range b {
		if b[i] == 0 || b[i] == '/' {
			b[i] = '='
		}
	}
	if s := string(b); s != "." && s != ".." {
		return s
	}
	return "%3D"
}

func (v *vandal) link() string {
	return strings.ReplaceAll(strings.Repeat(v.name()+"/", 1+v.IntN(3)), "\x00", "")
}

func (v *vandal) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(v.Uint32())
	}
	return b
}

func (v *vandal) id() uint32 { return v.ids + v.Uint32N(60000) }

// write writes a file that is there, or a new one; no pipe, no device, and nothing behind a link.
func (v *vandal) write(path string, flag int, data []byte) {
	if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() {
		flag |= unix.O_NOFOLLOW
	} else {
		flag |= os.O_CREATE | os.O_EXCL
	}
	if f, err := os.OpenFile(path, os.O_WRONLY|flag, 0o644); err == nil {
		_, _ = f.Write(data)
		f.Close()
	}
}

func (v *vandal) truncate(path string, size int64) {
	if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() {
		_ = os.Truncate(path, size)
	}
}

// sparse writes a file with data at some places of a long one.
func (v *vandal) sparse(path string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_ = f.Truncate(v.Int64N(1 << 22))
	for range v.IntN(4) {
		_, _ = f.WriteAt(v.bytes(1+v.IntN(5000)), v.Int64N(1<<22))
	}
}

// acl is a list with a named user and a named group.
func (v *vandal) acl() []byte {
	list := []byte{2, 0, 0, 0}
	for _, tag := range []uint16{0x01, 0x02, 0x04, 0x08, 0x10, 0x20} {
		id := uint32(1<<32 - 1)
		if tag == 0x02 || tag == 0x08 {
			id = v.id()
		}
		list = append(list, byte(tag), 0, byte(v.IntN(8)), 0, byte(id), byte(id>>8), byte(id>>16), byte(id>>24))
	}
	return list
}

// capability is CAP_NET_RAW of the second revision, which any superuser may set.
func (v *vandal) capability() []byte {
	return append([]byte{1, 0, 0, 2, 0, 0x20}, make([]byte, 14)...)
}

func chmod(path string, mode uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return err
	}
	return unix.Chmod(path, mode)
}

// setting is what lower and upper layer are, and how the overlay is mounted.
type setting struct {
	name         string
	lower, upper func(t testing.TB) string // directories on some file system
	options      []string
}

func onDisk(t testing.TB) string { return t.TempDir() }

func inMemory(t testing.TB) string {
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

var settings = []setting{
	{"disk", onDisk, onDisk, nil},
	{"memory", inMemory, inMemory, nil},
	{"memory over disk", onDisk, inMemory, nil},
	{"disk over memory", inMemory, onDisk, nil},
	{"xino", inMemory, onDisk, []string{"xino", "on"}},
	{"redirected", onDisk, onDisk, []string{"redirect_dir", "on", "metacopy", "on"}},
}

// Whatever a container does to its files, they are the same once the difference is put into a fresh layer.
func TestAnyDifferenceComesBack(t *testing.T) {
	rounds := 6
	if os.Getenv("RECONCILER_SOAK") != "" {
		rounds = 1000
	}
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			for range rounds {
				seed := uint64(time.Now().UnixNano())
				if !t.Run(fmt.Sprint(seed), func(t *testing.T) { s.roundTrip(t, seed) }) {
					return
				}
			}
		})
	}
}

func (s setting) roundTrip(t *testing.T, seed uint64) {
	v := &vandal{Rand: rand.New(rand.NewPCG(seed, 0))}
	upper := s.upper(t)
	lower, err := os.MkdirTemp(s.lower(t), "lower")
	must(t, err)
	v.top = lower
	v.run(150)
	settle(t, filepath.Dir(lower))
	l := newLayers(t, lower, upper)
	merged := l.mount(t, s.options...)
	before := snapshot(t, lower)
	v.top = procPath(merged)
	v.run(100)
	want := snapshot(t, v.top)
	archive, deleted := diff(t, merged, lower, nil)
	same(t, snapshot(t, procPath(again(t, l, archive, deleted, s.options...))), want)
	if after := snapshot(t, lower); !slices.Equal(before, after) {
		t.Error("the lower layer changed")
	}
	if second, _ := diff(t, merged, lower, nil); string(second) != string(archive) {
		t.Error("a second difference is another one")
	}
}
