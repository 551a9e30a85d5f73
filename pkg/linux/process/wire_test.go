package process_test

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// rich is a program with one of everything.
func rich() *process.Program {
	p := &process.Program{Clone: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Cgroup: "cgroup"}
	p.File("cgroup")
	fs := p.CallFD("mount proc", "", unix.SYS_FSOPEN, process.Str("proc"), process.Int(unix.FSOPEN_CLOEXEC))
	p.Call("mount proc", "", unix.SYS_FSCONFIG, fs, process.Int(unix.FSCONFIG_CMD_CREATE), process.Int(0), process.Int(0), process.Int(0))
	mnt := p.CallFD("mount proc", "", unix.SYS_FSMOUNT, fs, process.Int(unix.FSMOUNT_CLOEXEC), process.Int(unix.MOUNT_ATTR_NOSUID))
	p.Call("mount proc", "/proc", unix.SYS_MOVE_MOUNT, mnt, process.Str(""), process.Int(unix.AT_FDCWD), process.Str("/proc"), process.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
	p.Call("connect stdout", "", unix.SYS_DUP3, p.File("stdout"), process.Int(1), process.Int(0))
	enoent := process.Accept(unix.ENOENT, unix.EACCES, unix.ENOTDIR)
	p.Call("mask", "/proc/kcore", unix.SYS_MOUNT, process.Str("/dev/null"), process.Str("/proc/kcore"), process.Data(nil), process.Int(unix.MS_BIND)).Accept = enoent
	exec(p, "/usr/local/bin/web", "--port=8080").Accept = enoent
	exec(p, "/usr/bin/web", "--port=8080").Accept = enoent
	p.Ops[5].Skip, p.Ops[4].Else = 1, 1
	return p
}

// parkNr is the number that makes an op the park point.
var parkNr = func() uint32 {
	p := &process.Program{}
	p.Park()
	return p.Ops[0].Nr
}()

// patient is a program that parks, with the rest of what there is.
func patient() *process.Program {
	p := &process.Program{Clone: unix.CLONE_NEWUSER | unix.CLONE_NEWTIME, PidNS: "pid namespace"}
	p.File("pid namespace")
	file := p.Slot()
	p.Call("open", "/dev/null", unix.SYS_OPENAT, process.Int(unix.AT_FDCWD), process.Str("/dev/null"), process.Int(unix.O_RDONLY|unix.O_CLOEXEC)).Out = file
	p.Park()
	p.Call("wait for start", "", unix.SYS_READ, p.File("start"), process.Data(make([]byte, 8)), process.Int(1))
	p.Call("send", "file", unix.SYS_SENDMSG, p.File("socket"), process.Message([]byte("x"), file), process.Int(0))
	exec(p, "/bin/true")
	return p
}

// inside is a program that parks and is reborn.
func inside() *process.Program {
	p := &process.Program{}
	p.Call("prepare", "", unix.SYS_GETPID)
	p.Park()
	p.Call("choose pid namespace", "", unix.SYS_SETNS, p.File("ns"), process.Int(unix.CLONE_NEWPID))
	p.Reborn()
	p.Call("make session", "", unix.SYS_SETSID)
	exec(p, "/bin/true")
	return p
}

func TestWireForm(t *testing.T) {
	testWireForm(t, rich())
	testWireForm(t, patient())
	testWireForm(t, inside())
}

func testWireForm(t *testing.T, want *process.Program) {
	t.Helper()
	wire, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	got := &process.Program{}
	if err := got.UnmarshalBinary(wire); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	clear(wire)
	if !reflect.DeepEqual(got, want) {
		t.Fatal("the program shares memory with its wire form")
	}
}

func TestTruncatedWireForm(t *testing.T) {
	wire, err := rich().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for n := range wire {
		if err := new(process.Program).UnmarshalBinary(wire[:n]); err == nil {
			t.Fatalf("%d of %d bytes: no error", n, len(wire))
		}
	}
	if err := new(process.Program).UnmarshalBinary(append(wire, 0)); err == nil {
		t.Fatal("a byte too many: no error")
	}
}

func TestCheck(t *testing.T) {
	for name, spoil := range map[string]func(p *process.Program){
		"0 ops":                    func(p *process.Program) { p.Ops = nil },
		"clone flags":              func(p *process.Program) { p.Clone |= unix.CLONE_FILES },
		"cgroup \"other\"":         func(p *process.Program) { p.Cgroup = "other" },
		"op 0 (mount proc): skips": func(p *process.Program) { p.Ops[0].Skip = 8 },
		"op 1 (mount proc): skips": func(p *process.Program) { p.Ops[1].Else = -1 },
		"result to slot 3 of 2":    func(p *process.Program) { p.Ops[0].Out = 3 },
		"argument 0: slot 9 of 2":  func(p *process.Program) { p.Ops[1].Args[0] = process.In(9) },
		"argument 0: slot 0 of 2":  func(p *process.Program) { p.Ops[1].Args[0] = process.In(0) },
		"argument 0: file 2 of 2":  func(p *process.Program) { p.Ops[4].Args[0].Int = 2 },
		"argument 0: kind 9":       func(p *process.Program) { p.Ops[4].Args[0].Kind = 9 },
		"reference at 17 of 24":    func(p *process.Program) { p.Ops[7].Args[1].Refs[0].At = 17 },
		"reference at -1 of 24":    func(p *process.Program) { p.Ops[7].Args[1].Refs[0].At = -1 },
		"kind 0 has no data":       func(p *process.Program) { p.Ops[7].Args[5].Memory = &process.Memory{Data: []byte("x")} },
		"more than 8388608 bytes":  func(p *process.Program) { p.Ops[7].Args[0].Data = make([]byte, process.MaxSize) },
		"8388608 bytes of data so": func(p *process.Program) {
			p.Ops[7].Args[1].Refs = make([]process.Ref, process.MaxSize/64+1)
		},
		"16385 slots, must be 0 to":   func(p *process.Program) { p.Slots = process.MaxSlots + 1 },
		"pid namespace \"other\"":     func(p *process.Program) { p.PidNS = "other" },
		"in pid namespace \"stdout\"": func(p *process.Program) { p.PidNS = "stdout" },
		"reference to slot 3 of 2":    func(p *process.Program) { p.Ops[7].Args[1].Refs[0] = process.Ref{Slot: 3} },
		"reference to slot -1 of 2":   func(p *process.Program) { p.Ops[7].Args[1].Refs[0] = process.Ref{Slot: -1} },
		"reference at 21 of 24":       func(p *process.Program) { p.Ops[7].Args[1].Refs[0] = process.Ref{Slot: 1, At: 21} },
		"reference to byte 25 of 24":  func(p *process.Program) { p.Ops[7].Args[1].Refs[0] = process.Ref{To: 25} },
		"more than one of slot 1, byte 0 and 1 bytes": func(p *process.Program) {
			p.Ops[7].Args[1].Refs[0] = process.Ref{Slot: 1, Data: []byte("x")}
		},
		"more than one of slot 0, byte 8 and 1 bytes": func(p *process.Program) {
			p.Ops[7].Args[1].Refs[0] = process.Ref{To: 8, Data: []byte("x")}
		},
		"parks a second time":      func(p *process.Program) { p.Ops[0], p.Ops[1] = process.Op{Nr: parkNr}, process.Op{Nr: parkNr} },
		"skips the park point":     func(p *process.Program) { p.Ops[5] = process.Op{Nr: parkNr} },
		"a park point has neither": func(p *process.Program) { p.Ops[7].Nr = parkNr },
	} {
		p := rich()
		spoil(p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q, got %v", name, err)
		}
		if _, err := p.MarshalBinary(); err == nil {
			t.Errorf("%s: marshalled", name)
		}
		if _, err := process.Start(p, nil); err == nil {
			t.Errorf("%s: started", name)
		}
	}
}

func TestCheckReborn(t *testing.T) {
	for want, spoil := range map[string]func(p *process.Program){
		"op 3 (be born inside): it has not parked": func(p *process.Program) { p.Ops[1], p.Ops[4] = p.Ops[0], p.Ops[1] },
		"op 3 (be born inside): it has not":        func(p *process.Program) { p.Ops[1] = p.Ops[0] },
		"op 4 (be born inside): is born a second":  func(p *process.Program) { p.Ops[4] = p.Ops[3] },
		"op 2 (choose pid namespace): skips the r": func(p *process.Program) { p.Ops[2].Skip = 1 },
		"a rebirth has neither arguments nor resu": func(p *process.Program) { p.Ops[3].Out = p.Slot() },
		"nor result, and is not the end":           func(p *process.Program) { p.Ops = p.Ops[:4] },
		"in the starter's pid namespace":           func(p *process.Program) { p.Clone = unix.CLONE_NEWPID },
		"is to be in the starter's pid namespace":  func(p *process.Program) { p.PidNS = "ns" },
	} {
		p := inside()
		spoil(p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	wire, err := rich().MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	if wire, err = patient().MarshalBinary(); err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	if wire, err = inside().MarshalBinary(); err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Add([]byte{2, 0, 0, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, wire []byte) {
		p := &process.Program{}
		if p.UnmarshalBinary(wire) != nil {
			return
		}
		if left := process.Assemble(p); left != 0 {
			t.Fatalf("%d words and bytes too many", left)
		}
		again, err := p.MarshalBinary()
		if err != nil {
			t.Fatalf("read but cannot be written: %v", err)
		}
		q := &process.Program{}
		if err := q.UnmarshalBinary(again); err != nil {
			t.Fatalf("written but cannot be read: %v", err)
		}
		if !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v became %+v", p, q)
		}
	})
}

func BenchmarkWire(b *testing.B) {
	p := rich()
	for len(p.Ops) < 200 {
		p.Ops = append(p.Ops, p.Ops[:8]...)
	}
	b.ReportAllocs()
	for b.Loop() {
		wire, err := p.MarshalBinary()
		if err != nil {
			b.Fatal(err)
		}
		if err := new(process.Program).UnmarshalBinary(wire); err != nil {
			b.Fatal(err)
		}
	}
}
