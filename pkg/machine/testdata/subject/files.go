package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	parts["deleted"] = deleted
	parts["append"] = appended
	parts["fifo"] = fifo
	parts["locks"] = locks
	parts["dev"] = devices
	parts["layer"] = layer
	parts["cwd"] = cwd
	roles["trylock"] = tryLock
}

// deleted has a file open that has no name any more, and one that has another name still.
func deleted(string) func() error {
	f := got[*os.File]("create")(os.Create("/tmp/deleted"))
	_, err := f.WriteString("hidden text")
	must("write", err)
	must("remove", os.Remove("/tmp/deleted"))
	_, err = f.Seek(7, io.SeekStart)
	must("seek", err)
	g := got[*os.File]("create")(os.Create("/tmp/linked"))
	_, err = g.WriteString("linked text")
	must("write", err)
	_ = os.Remove("/tmp/other")
	must("link", os.Link("/tmp/linked", "/tmp/other"))
	must("remove", os.Remove("/tmp/linked"))
	return func() error {
		at, err := f.Seek(0, io.SeekCurrent)
		text, linked := make([]byte, 11), make([]byte, 11)
		_, err1 := f.ReadAt(text, 0)
		_, err2 := g.ReadAt(linked, 0)
		_, gone := os.Stat("/tmp/deleted")
		_, goneToo := os.Stat("/tmp/linked")
		_, there := os.Stat("/tmp/other")
		return errors.Join(err, err1, err2, there, want("place", at, 7), want("text", string(text), "hidden text"), want("linked", string(linked), "linked text"),
			want("name", gone != nil && goneToo != nil, true))
	}
}

// appended writes a line each round, and counts them: memory and file are of one moment.
func appended(string) func() error {
	f := got[*os.File]("create")(os.OpenFile("/tmp/log", os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600))
	lines := 0
	return func() error {
		_, err := fmt.Fprintln(f, "line", lines)
		lines++
		text, err2 := os.ReadFile("/tmp/log")
		return errors.Join(err, err2, want("lines", bytes.Count(text, []byte("\n")), lines))
	}
}

// fifo has a FIFO open with something in it.
func fifo(string) func() error {
	_ = os.Remove("/tmp/fifo")
	must("mkfifo", unix.Mkfifo("/tmp/fifo", 0o600))
	f := got[int]("open")(unix.Open("/tmp/fifo", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0))
	r, w := got2("pipe")(os.Pipe())
	_, err := unix.Write(f, []byte("waiting"))
	must("write", err)
	_, err = w.WriteString("waiting")
	must("write", err)
	return func() error {
		text, piped := make([]byte, 100), make([]byte, 100)
		n, err := unix.Read(f, text)
		k, err2 := r.Read(piped)
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		_, err = unix.Write(f, text[:n])
		_, err2 = w.Write(piped[:k])
		return errors.Join(err, err2, want("in the FIFO", string(text[:n]), "waiting"), want("in the pipe", string(piped[:k]), "waiting"))
	}
}

func got2(what string) func(a, b *os.File, err error) (*os.File, *os.File) {
	return func(a, b *os.File, err error) (*os.File, *os.File) {
		must(what, err)
		return a, b
	}
}

// locks holds one of each kind, which nobody else can have.
func locks(string) func() error {
	held := map[string]*os.File{}
	for _, kind := range []string{"flock", "posix", "ofd", "shared"} {
		f := got[*os.File]("create")(os.Create("/tmp/lock-" + kind))
		must("lock", lock(kind, int(f.Fd())))
		held[kind] = f
	}
	return func() error {
		var errs []error
		for kind := range held {
			other := kind
			if kind == "shared" {
				other = "flock"
			}
			out, err := exec.Command("/proc/self/exe", "trylock", other, "/tmp/lock-"+kind).CombinedOutput()
			if err != nil || string(out) != "held\n" {
				errs = append(errs, fmt.Errorf("%s: %q, %v", kind, out, err))
			}
		}
		return errors.Join(errs...)
	}
}

func lock(kind string, fd int) error {
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: 3, Len: 10}
	switch kind {
	case "flock":
		return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	case "shared":
		return unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB)
	case "posix":
		return unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &whole)
	}
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &whole)
}

func tryLock(args []string) {
	f := got[*os.File]("open")(os.OpenFile(args[1], os.O_RDWR, 0))
	if err := lock(args[0], int(f.Fd())); errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		fmt.Println("held")
	} else {
		fmt.Println("free", err)
	}
}

// devices makes things in /dev, and has devices open.
func devices(string) func() error {
	files := map[string]*os.File{}
	for _, name := range []string{"null", "zero", "full", "urandom"} {
		files[name] = got[*os.File]("open")(os.OpenFile("/dev/"+name, os.O_RDWR, 0))
	}
	if os.Getuid() != 0 {
		return func() error { return nil }
	}
	must("write", os.WriteFile("/dev/mine", []byte("mine"), 0o640))
	must("mkdir", os.MkdirAll("/dev/dir/sub", 0o750))
	_ = os.Remove("/dev/log")
	log := got[*net.UnixConn]("listen")(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/dev/log", Net: "unixgram"}))
	must("symlink", os.Symlink("mine", "/dev/link"))
	return func() error {
		text, err := os.ReadFile("/dev/link")
		zeros := []byte{1}
		_, err1 := files["zero"].Read(zeros)
		_, err2 := files["full"].Write(zeros)
		_, err3 := files["null"].Write(zeros)
		_, err4 := files["urandom"].Read(make([]byte, 1))
		info, err5 := os.Stat("/dev/dir/sub")
		mode := os.FileMode(0)
		if err5 == nil {
			mode = info.Mode().Perm()
		}
		c, err6 := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: "/dev/log", Net: "unixgram"})
		if err6 == nil {
			_, err6 = c.Write([]byte("logged"))
			c.Close()
		}
		said := make([]byte, 10)
		_ = log.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err7 := log.Read(said)
		return errors.Join(err, err1, err3, err4, err5, err6, err7, want("file", string(text), "mine"), want("zero", zeros[0], 0), want("full", errors.Is(err2, unix.ENOSPC), true), want("mode", mode, 0o750),
			want("logged", string(said[:n]), "logged"))
	}
}

// layer writes over, removes and makes what is in the root.
func layer(string) func() error {
	must("write", os.WriteFile("/etc/marker", []byte("changed"), 0o600))
	must("chmod", os.Chmod("/etc/group", 0o600))
	must("remove", os.Remove("/etc/hostname2"))
	must("mkdir", os.MkdirAll("/new/dir", 0o711))
	must("write", os.WriteFile("/new/dir/file", []byte("new"), 0o604))
	if os.Getuid() == 0 {
		must("chown", os.Chown("/new/dir/file", 1000, 29))
	}
	return func() error {
		marker, err := os.ReadFile("/etc/marker")
		text, err1 := os.ReadFile("/new/dir/file")
		var st unix.Stat_t
		err2 := unix.Stat("/new/dir/file", &st)
		_, gone := os.Stat("/etc/hostname2")
		info, err3 := os.Stat("/etc/group")
		if err := errors.Join(err, err1, err2, err3); err != nil {
			return err
		}
		owner := fmt.Sprint(os.Getuid(), os.Getgid())
		if os.Getuid() == 0 {
			owner = "1000 29"
		}
		return errors.Join(want("changed", string(marker), "changed"), want("new", string(text), "new"), want("owner", fmt.Sprint(st.Uid, st.Gid), owner), want("mode", st.Mode&0o7777, 0o604),
			want("removed", gone != nil, true), want("mode of group", info.Mode().Perm(), 0o600))
	}
}

// cwd is in a directory of its own.
func cwd(string) func() error {
	must("mkdir", os.MkdirAll("/tmp/some/where", 0o755))
	must("chdir", unix.Chdir("/tmp/some/where"))
	return func() error {
		dir, err := os.Readlink("/proc/self/cwd")
		return errors.Join(err, want("directory", dir, "/tmp/some/where"))
	}
}
