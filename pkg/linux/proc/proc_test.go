package proc

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestStatOfHostileNames(t *testing.T) {
	const rest = " S 1 7 7 0 -1 4194560 154 0 0 0 12 3 0 0 20 0 4 0 500 8192000 25 18446744073709551615"
	boot := time.Unix(1_000_000, 0)
	for _, comm := range []string{"sh", "", ") R 99 (", "a b) S 1", "\x1b[31m", "line\nbreak", "((", "))"} {
		var p spec.Process
		if err := parseStat("7 ("+comm+")"+rest, boot, &p); err != nil {
			t.Errorf("%q: %v", comm, err)
		}
		want := spec.Process{
			Pid: 7, ContainerPid: 7, PPid: 1, State: "S", Comm: comm, Threads: 4, RSS: 25 * pageSize, CPUUsec: 150_000,
			StartedAt: boot.Add(5 * time.Second),
		}
		if !reflect.DeepEqual(p, want) {
			t.Errorf("%q: got %+v, want %+v", comm, p, want)
		}
	}
	for _, bad := range []string{"", "7", "7 (sh", "7 (sh) S 1 2"} {
		if err := parseStat(bad, boot, &spec.Process{}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestStatus(t *testing.T) {
	var p spec.Process
	parseStatus("Name:\tx\\nUid:\\t1\nUid:\t1000\t1001\t1002\t1003\nNSpid:\t400\t30\t2\n", &p)
	if p.UID != 1001 || p.ContainerPid != 2 {
		t.Errorf("got %+v", p)
	}
}

func TestSplitCommand(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, "\x00\x00": nil, "sh\x00-c\x00a b\x00": {"sh", "-c", "a b"}, "title": {"title"}, "a\x00\x00b\x00": {"a", "", "b"},
	} {
		if got := splitCommand([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

func TestInterfaces(t *testing.T) {
	const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       2    3    4    0     0          0         0      500       6    7    8    0     0       0          0
eth0:1: 18446744073709551615 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0
  torn: 1 2
`
	want := []spec.InterfaceStats{
		{Name: "lo", RxBytes: 100, RxPackets: 2, RxErrors: 3, RxDropped: 4, TxBytes: 500, TxPackets: 6, TxErrors: 7, TxDropped: 8},
		{Name: "eth0:1", RxBytes: 1<<64 - 1, TxBytes: 1},
	}
	if got := parseInterfaces(text); !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

// This process, seen through /proc, is this process.
func TestMyself(t *testing.T) {
	before := time.Now().Add(-time.Hour)
	d, err := Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	boot, err := BootTime()
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Process(boot)
	if err != nil {
		t.Fatal(err)
	}
	if p.Pid != os.Getpid() || p.PPid != os.Getppid() || int(p.UID) != os.Geteuid() || p.RSS == 0 || p.Threads == 0 ||
		!slices.Equal(p.Command, os.Args) || !strings.HasPrefix(filepath.Base(os.Args[0]), p.Comm) || p.StartedAt.Before(before) || p.StartedAt.After(time.Now().Add(time.Second)) {
		t.Errorf("got %+v", p)
	}
	interfaces, err := d.Interfaces()
	if err != nil || !slices.ContainsFunc(interfaces, func(i spec.InterfaceStats) bool { return i.Name == "lo" }) {
		t.Errorf("interfaces %+v, %v", interfaces, err)
	}
}

// A command line is as long as its process likes, and is read as far as is useful.
func TestLongCommand(t *testing.T) {
	sleep := exec.Command("/bin/sh", "-c", "echo up; read x", strings.Repeat("x", 100_000))
	stdin, err1 := sleep.StdinPipe()
	stdout, err2 := sleep.StdoutPipe()
	if err := errors.Join(err1, err2, sleep.Start()); err != nil {
		t.Fatal(err)
	}
	defer sleep.Wait() //nolint:errcheck // it ends with its input
	defer stdin.Close()
	if _, err := stdout.Read(make([]byte, 3)); err != nil { // an exec ends before its command line is there
		t.Fatal(err)
	}
	d, err := Open(sleep.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := d.Process(time.Now())
	if n := len(strings.Join(p.Command, "\x00")); err != nil || n > longestCommand || n < longestCommand-2 {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

// A process that has ended is not there, whoever has its number.
func TestEnded(t *testing.T) {
	child := exec.Command("/bin/sh", "-c", "read x")
	stdin, err := child.StdinPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_ = stdin.Close()
	_ = child.Wait()
	if _, err := d.Process(time.Now()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := d.StartTime(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(1 << 30); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v", err)
	}
}
