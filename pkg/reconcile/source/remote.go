package source

import (
	"time"

	"golang.org/x/sys/unix"
)

// Watch says whether the kernel is asked for hints about a directory.
type Watch string

// The ways of watching. Auto watches what only this kernel writes to; a directory of another file system is read again and again, as Never says of all.
const (
	WatchAuto  Watch = "auto"
	WatchNever Watch = "never"
)

// contentsEvery is how often the files of a directory that is not watched are read whatever their times say: those come from another
// machine's clock, or from a cache.
const contentsEvery = 10 * time.Second

// remotes are the file systems that others than this kernel write to: it has no hints of that, see inotify(7). From linux/magic.h and the file systems' sources.
var remotes = map[uint32]string{
	0x6969:     "nfs",
	0x517b:     "smb",
	0xff534d42: "cifs",
	0xfe534d42: "smb2",
	0x65735546: "fuse",
	0x01021997: "9p",
	0x00c36400: "ceph",
	0x5346414f: "afs",
	0x6b414653: "kafs",
	0x73757245: "coda",
	0x7461636f: "ocfs2",
	0x01161970: "gfs2",
	0x0bd00bd0: "lustre",
	0x47504653: "gpfs",
	0x786f4256: "vboxsf",
	0xbacbacbc: "vmhgfs",
}

// Remote is the name of a file system that others than this kernel may write to, by its number in statfs(2); "" when there is none.
func Remote(number uint32) string { return remotes[number] }

// isRemote tells whether others than this kernel may write to an open directory.
func isRemote(dir uintptr) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(dir), &st) == nil && Remote(uint32(st.Type)) != ""
}

// polled tells whether a directory is read again and again instead of being watched.
func (d *Dir) polled(at place) bool { return d.options.Watch == WatchNever || at.remote }

// rereads tells whether all files of a directory are to be read now, whatever their times say.
func (d *Dir) rereads(at place) bool {
	if !d.polled(at) || time.Since(d.reread) < contentsEvery {
		return false
	}
	d.reread = time.Now()
	return true
}
