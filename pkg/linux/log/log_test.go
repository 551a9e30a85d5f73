package log_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

var (
	first  = log.Run{Instance: 1, Start: 1}
	second = log.Run{Instance: 1, Start: 2}
)

// tap is a log with a pipe into it.
type tap struct {
	t    *testing.T
	dir  string
	w    *log.Writer
	r, p *os.File
}

func newTap(t *testing.T, limits log.Limits) *tap {
	t.Helper()
	p := &tap{t: t, dir: filepath.Join(t.TempDir(), "log")}
	p.reopen(limits)
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, 1<<20)
	p.r, p.p = os.NewFile(uintptr(fds[0]), "read end"), os.NewFile(uintptr(fds[1]), "write end")
	t.Cleanup(func() { p.w.Close(); p.r.Close(); p.p.Close() })
	return p
}

// reopen goes on with a new writer, as after a crash of the last.
func (p *tap) reopen(limits log.Limits) {
	p.t.Helper()
	if p.w != nil {
		p.w.Close()
	}
	var err error
	if p.w, err = log.OpenWriter(p.dir, limits); err != nil {
		p.t.Fatal(err)
	}
}

// say lets text come out of the pipe.
func (p *tap) say(run log.Run, s log.Stream, text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.p, text); err != nil {
		p.t.Fatal(err)
	}
	p.drain(run, s)
}

func (p *tap) drain(run log.Run, s log.Stream) {
	p.t.Helper()
	for {
		n, err := p.w.Drain(run, s, p.r, 0)
		if err != nil {
			p.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// read gives the lines as "stream:text", with "+" after a partial one.
func (p *tap) read(o log.Options) (lines []string) {
	p.t.Helper()
	for line, err := range log.Read(context.Background(), p.dir, o) {
		if err != nil {
			p.t.Fatal(err)
		}
		text := fmt.Sprintf("%c:%s", line.Stream.String()[3], line.Text)
		if line.Partial {
			text += "+"
		}
		if line.Dropped > 0 {
			text = fmt.Sprintf("dropped %d", line.Dropped)
		}
		lines = append(lines, text)
	}
	return lines
}

func (p *tap) want(o log.Options, lines ...string) {
	p.t.Helper()
	if got := p.read(o); !slices.Equal(got, lines) {
		p.t.Errorf("%+v: got %q, want %q", o, got, lines)
	}
}

// size is what the log takes on disk.
func (p *tap) size() (bytes int64, files int) {
	p.t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			p.t.Fatal(err)
		}
		bytes += info.Size()
		files++
	}
	return bytes, files
}

func TestLines(t *testing.T) {
	p := newTap(t, log.Limits{})
	p.w.Begin(first)
	p.say(first, log.Stdout, "one\ntw")
	p.say(first, log.Stderr, "err\n")
	p.say(first, log.Stdout, "o\n\nend")
	p.w.End(first)
	p.w.Begin(second)
	p.say(second, log.Stdout, "again\n")

	p.want(log.Options{}, "o:one", "e:err", "o:two", "o:", "o:end+", "o:again")
	p.want(log.Options{Stream: log.Stderr}, "e:err")
	p.want(log.Options{Tail: 2}, "o:end+", "o:again")
	p.want(log.Options{Tail: 100, Stream: log.Stdout}, "o:one", "o:two", "o:", "o:end+", "o:again")
	p.want(log.Options{Previous: true}, "o:one", "e:err", "o:two", "o:", "o:end+")
	p.want(log.Options{Previous: true, Tail: 1}, "o:end+")
	p.want(log.Options{Since: time.Now().Add(time.Hour)})
}

func TestSince(t *testing.T) {
	p := newTap(t, log.Limits{MaxSize: 4096, MaxFiles: 50})
	for range 100 {
		p.say(first, log.Stdout, strings.Repeat("x", 99)+"\n")
	}
	time.Sleep(5 * time.Millisecond)
	since := time.Now()
	time.Sleep(5 * time.Millisecond)
	p.say(first, log.Stdout, "new\n")
	p.want(log.Options{Since: since}, "o:new")
	p.want(log.Options{Since: since, Tail: 10}, "o:new")
	if got := p.read(log.Options{Tail: 60}); len(got) != 60 || got[59] != "o:new" {
		t.Errorf("tail 60 = %d lines", len(got))
	}
}

func TestNoLog(t *testing.T) {
	for line, err := range log.Read(t.Context(), filepath.Join(t.TempDir(), "none"), log.Options{}) {
		t.Errorf("line %v, %v", line, err)
	}
}

// A line longer than the limit comes in pieces that add up.
func TestLongLine(t *testing.T) {
	p := newTap(t, log.Limits{})
	long := strings.Repeat("0123456789", 20_000)
	p.say(first, log.Stdout, long+"\n")
	var got []byte
	for line, err := range log.Read(t.Context(), p.dir, log.Options{}) {
		if err != nil || len(line.Text) > 64<<10 {
			t.Fatalf("%d bytes, %v", len(line.Text), err)
		}
		got = append(got, line.Text...)
	}
	if string(got) != long {
		t.Errorf("%d bytes, want %d", len(got), len(long))
	}
}

// A new writer goes on where the last stopped, whatever a kill left at the end of the index.
func TestReopen(t *testing.T) {
	p := newTap(t, log.Limits{})
	p.say(first, log.Stdout, "one\nha")
	index := filepath.Join(p.dir, "00000001.idx")
	for _, tail := range []string{"", "torn", strings.Repeat("\x00", 32), strings.Repeat("garbage!", 4)} {
		f, err := os.OpenFile(index, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(tail)
		f.Close()
		p.reopen(log.Limits{})
	}
	p.say(first, log.Stdout, "lf\ntwo\n")
	p.want(log.Options{}, "o:one", "o:half", "o:two")
}

// A log that was removed under its writer comes back with the next output.
func TestRemoved(t *testing.T) {
	p := newTap(t, log.Limits{})
	p.say(first, log.Stdout, "one\n")
	if err := os.RemoveAll(p.dir); err != nil {
		t.Fatal(err)
	}
	p.say(first, log.Stdout, "two\n")
	p.want(log.Options{}, "o:two")
}

// Without a usable index the bytes are all there still.
func TestIndexLost(t *testing.T) {
	p := newTap(t, log.Limits{})
	p.say(first, log.Stderr, "one\ntwo\n")
	if err := os.Remove(filepath.Join(p.dir, "00000001.idx")); err != nil {
		t.Fatal(err)
	}
	p.want(log.Options{}, "o:one", "o:two")
}

// The disk is bounded by size times files, also for output that comes byte by byte, and lines go on across segments.
func TestRotation(t *testing.T) {
	limits := log.Limits{MaxSize: 8 << 10, MaxFiles: 3}
	for name, chunk := range map[string]int{"bytes": 1, "lines": 16, "blocks": 3000} {
		t.Run(name, func(t *testing.T) {
			p := newTap(t, limits)
			var all bytes.Buffer
			for i := 0; all.Len() < 100<<10; i++ {
				fmt.Fprintf(&all, "%07d\n", i)
			}
			if chunk == 1 {
				all.Truncate(32 << 10)
			}
			for text := all.Bytes(); len(text) > 0; {
				n := min(chunk, len(text))
				p.say(first, log.Stdout, string(text[:n]))
				text = text[n:]
				if size, files := p.size(); size > limits.MaxSize*int64(limits.MaxFiles) || files > 2*limits.MaxFiles {
					t.Fatalf("%d bytes in %d files", size, files)
				}
			}
			got := p.read(log.Options{})
			last := fmt.Sprintf("o:%07d", all.Len()/8-1)
			if len(got) < 2 || got[len(got)-1] != last {
				t.Fatalf("last line = %q, want %q", got[len(got)-1], last)
			}
			for i := 2; i < len(got); i++ { // the first may have lost its beginning to rotation
				if got[i] <= got[i-1] || len(got[i]) != len(last) {
					t.Fatalf("%q after %q", got[i], got[i-1])
				}
			}
		})
	}
}

// A follower sees everything, rotation or not.
func TestFollow(t *testing.T) {
	p := newTap(t, log.Limits{MaxSize: 16 << 10, MaxFiles: 1000})
	const total = 20_000
	done := make(chan error, 1)
	go func() {
		want := 0
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for line, err := range log.Read(ctx, p.dir, log.Options{Follow: true}) {
			if text := fmt.Sprintf("%07d", want); err != nil || string(line.Text) != text {
				done <- fmt.Errorf("got %q, %v, want %q", line.Text, err, text)
				return
			}
			if want++; want == total {
				cancel()
			}
		}
		done <- nil
	}()
	for i := range total {
		fmt.Fprintf(p.p, "%07d\n", i)
		if i%50 == 0 {
			p.drain(first, log.Stdout)
		}
	}
	p.drain(first, log.Stdout)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A full disk costs output, never time: what does not fit is dropped, counted and shown where it is missing.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a tmpfs")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=128k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	p := newTap(t, log.Limits{})
	p.dir = filepath.Join(disk, "log")
	p.reopen(log.Limits{})

	var failures int
	for i := range 100 {
		fmt.Fprintf(p.p, "%s%04d\n", strings.Repeat("x", 4000), i)
		if _, err := p.w.Drain(first, log.Stdout, p.r, 0); errors.Is(err, unix.ENOSPC) {
			failures++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if failures != 1 || p.w.Dropped() == 0 {
		t.Fatalf("%d failures said, %d bytes dropped", failures, p.w.Dropped())
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", unix.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	p.say(first, log.Stdout, "room again\n")
	var noted int64
	var last string
	for line, err := range log.Read(t.Context(), p.dir, log.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		noted += line.Dropped
		last = string(line.Text)
	}
	if noted != p.w.Dropped() || last != "room again" {
		t.Errorf("%d bytes noted as dropped, want %d; last line %q", noted, p.w.Dropped(), last)
	}
}

// Names of a segment that are links or pipes are refused, not followed or waited for.
func TestHostileNames(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"link": func(path string) error { return os.Symlink("/etc/passwd", path) },
		"fifo": func(path string) error { return unix.Mkfifo(path, 0o666) },
	} {
		dir := t.TempDir()
		if err := plant(filepath.Join(dir, "00000001.log")); err != nil {
			t.Fatal(err)
		}
		if w, err := log.OpenWriter(dir, log.Limits{}); err == nil {
			w.Close()
			t.Errorf("%s: opened", name)
		}
		for _, err := range log.Read(t.Context(), dir, log.Options{}) {
			if err == nil {
				t.Errorf("%s: read", name)
			}
		}
	}
}

// seed is a segment as a writer leaves it.
func seed(f *testing.F) (raw, index []byte) {
	f.Helper()
	r, p, err := os.Pipe()
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	defer p.Close()
	dir := f.TempDir()
	w, err := log.OpenWriter(dir, log.Limits{})
	if err != nil {
		f.Fatal(err)
	}
	defer w.Close()
	w.Begin(first)
	for i, text := range []string{"one\ntw", "err\n", "o\nthree", "\n"} {
		io.WriteString(p, text)
		if _, err := w.Drain(first, log.Stream(1+i%2), r, 0); err != nil {
			f.Fatal(err)
		}
	}
	w.End(first)
	raw, _ = os.ReadFile(filepath.Join(dir, "00000001.log"))
	index, _ = os.ReadFile(filepath.Join(dir, "00000001.idx"))
	return raw, index
}

// However broken the index, every byte is read exactly once and in order.
func FuzzIndex(f *testing.F) {
	f.Add([]byte("one\ntwo\n"), []byte{})
	raw, index := seed(f)
	f.Add(raw, index)
	f.Fuzz(func(t *testing.T, raw, index []byte) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, "00000001.log"), raw, 0o600)
		os.WriteFile(filepath.Join(dir, "00000001.idx"), index, 0o600)
		n := 0
		for line, err := range log.Read(t.Context(), dir, log.Options{}) {
			if err != nil {
				t.Fatal(err)
			}
			n += len(line.Text)
			if !line.Partial && line.Dropped == 0 {
				n++
			}
		}
		if n != len(raw) {
			t.Fatalf("read %d of %d bytes", n, len(raw))
		}
	})
}

func BenchmarkDrain(b *testing.B) {
	dir := b.TempDir()
	w, err := log.OpenWriter(dir, log.Limits{MaxSize: 10 << 20, MaxFiles: 3})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	r, p, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	defer p.Close()
	chunk := bytes.Repeat([]byte("0123456789abcde\n"), 4<<10)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if _, err := p.Write(chunk); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Drain(first, log.Stdout, r, 0); err != nil {
			b.Fatal(err)
		}
	}
}
