package mount

import (
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// devices are the nodes every container has, see Documentation/admin-guide/devices.txt.
var devices = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3},
	{"zero", 1, 5},
	{"full", 1, 7},
	{"random", 1, 8},
	{"urandom", 1, 9},
	{"tty", 5, 0},
}

// links are the symbolic links of /dev.
var links = []struct{ name, target string }{
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"},
}

// points are the directories of /dev that standard mounts go onto.
var points = []string{"pts", "shm", "mqueue"}

// devices fills a /dev that is not attached yet.
func (b *builder) devices(dev process.Arg) {
	const step = "make device"
	for _, d := range devices {
		b.Call(step, "/dev/"+d.name, unix.SYS_MKNODAT, dev, process.Str(d.name), process.Int(unix.S_IFCHR|0o666), process.Int(unix.Mkdev(d.major, d.minor)))
	}
	for _, dir := range points {
		b.Call(step, "/dev/"+dir, unix.SYS_MKDIRAT, dev, process.Str(dir), process.Int(0o755))
	}
	for _, l := range links {
		b.Call(step, "/dev/"+l.name, unix.SYS_SYMLINKAT, process.Str(l.target), dev, process.Str(l.name))
	}
}
