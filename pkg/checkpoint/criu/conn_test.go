package criu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

func TestDumpAnswersEveryNotification(t *testing.T) {
	var got []string
	point := func(name string) func() error { return func() error { got = append(got, name); return nil } }
	order := []string{"pre-dump", "network-lock", "something-new", "post-dump", "network-unlock"}
	c := play(t, func(p *peer) {
		if req := p.read(); req.GetType() != rpc.CriuReqType_DUMP || req.GetOpts().GetPid() != 77 {
			t.Errorf("the request: %v", req)
		}
		for _, at := range order {
			if !p.notify(at, 0) {
				t.Errorf("%s was refused", at)
			}
		}
		p.write(notification("query-ext-files", 0))
		if external := p.read().GetOpts().GetExternal(); !slices.Equal(external, []string{"file[2a:ff]"}) {
			t.Errorf("external files: %q", external)
		}
		p.write(reply(rpc.CriuReqType_DUMP, true))
	})
	err := c.Dump(t.Context(), Options{ImagesDir: OpenTempDir(t), Pid: 77}, Notify{
		PreDump: point("pre-dump"), NetworkLock: point("network-lock"), PostDump: point("post-dump"), NetworkUnlock: point("network-unlock"),
		ExternalFiles: func() ([]string, error) { return []string{File(0x2a, 0xff)}, nil },
	})
	if err != nil || !slices.Equal(got, []string{"pre-dump", "network-lock", "post-dump", "network-unlock"}) {
		t.Errorf("Dump: %v after %q", err, got)
	}
}

func TestRestoreTellsProcessesAndTerminals(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := play(t, func(p *peer) {
		p.read()
		p.notify("setup-namespaces", 41)
		if !p.notify("orphan-pts-master", 0, int(w.Fd())) {
			t.Error("the terminal was refused")
		}
		w.Close()
		p.notify("post-restore", 41)
		p.write(&rpc.CriuResp{Type: rpc.CriuReqType_RESTORE.Enum(), Success: new(true), Restore: &rpc.CriuRestoreResp{Pid: new(int32(41))}})
	})
	var setup, post int
	pid, err := c.Restore(t.Context(), Options{ImagesDir: OpenTempDir(t)}, Notify{
		SetupNamespaces: func(pid int) error { setup = pid; return nil },
		PostRestore:     func(pid int) error { post = pid; return nil },
		OrphanPTSMaster: func(master *os.File) error {
			defer master.Close()
			_, err := master.WriteString("through the descriptor")
			return err
		},
	})
	if pid != 41 || setup != 41 || post != 41 || err != nil {
		t.Errorf("Restore: pid %d, at setup-namespaces %d, at post-restore %d, %v", pid, setup, post, err)
	}
	buf := make([]byte, 64)
	if n, _ := r.Read(buf); string(buf[:n]) != "through the descriptor" {
		t.Errorf("the descriptor is another: %q", buf[:n])
	}
}

var errMine = errors.New("the disk is full")

// A refused notification is answered as refused, and its error is the verb's, whatever criu makes of it.
func TestARefusalIsTheVerbsError(t *testing.T) {
	for name, test := range map[string]struct {
		at      string
		then    func(p *peer)
		done    bool
		restore bool
	}{
		"criu gives up": {"post-dump", func(p *peer) { p.write(reply(rpc.CriuReqType_DUMP, false)) }, false, false},
		"criu dies":     {"post-dump", func(*peer) {}, false, false},
		"too late": {"post-resume", func(p *peer) {
			p.write(&rpc.CriuResp{Type: rpc.CriuReqType_RESTORE.Enum(), Success: new(true), Restore: &rpc.CriuRestoreResp{Pid: new(int32(41))}})
		}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := play(t, func(p *peer) {
				p.read()
				if p.notify(test.at, 0) {
					t.Error("the refusal was no refusal")
				}
				test.then(p)
			})
			o, n := Options{ImagesDir: OpenTempDir(t), Pid: 77}, Notify{PostDump: func() error { return errMine }, PostResume: func() error { return errMine }}
			var pid int
			var err error
			if test.restore {
				pid, err = c.Restore(t.Context(), o, n)
			} else {
				err = c.Dump(t.Context(), o, n)
			}
			failed, ok := errors.AsType[*NotifyError](err)
			if !errors.Is(err, errMine) || !ok || failed.Point != test.at || failed.Done != test.done || (pid != 0) != test.done {
				t.Errorf("pid %d, %v", pid, err)
			}
		})
	}
}

// nonsense are peers that do not keep to the protocol. Each is killed, and no descriptor stays.
var nonsense = map[string]func(p *peer){
	"garbage":          func(p *peer) { p.raw([]byte("\xff\xff\xff\xff\x0f garbage")) },
	"no type":          func(p *peer) { p.raw([]byte{0x10, 1}) },
	"another's reply":  func(p *peer) { p.write(reply(rpc.CriuReqType_RESTORE, true)) },
	"empty success":    func(p *peer) { p.write(reply(rpc.CriuReqType_EMPTY, true)) },
	"too large":        func(p *peer) { p.raw(bytes.Repeat([]byte{0x0a}, maxMessage+1)) },
	"nothing notified": func(p *peer) { p.write(reply(rpc.CriuReqType_NOTIFY, true)) },
	"restored nobody":  func(p *peer) { p.notify("post-restore", 0) },
	"descriptor where none is due": func(p *peer) {
		p.notify("pre-dump", 0, int(p.f.Fd()))
	},
	"descriptor with the reply": func(p *peer) { p.write(reply(rpc.CriuReqType_DUMP, true), int(p.f.Fd())) },
	"two descriptors":           func(p *peer) { p.notify("orphan-pts-master", 0, int(p.f.Fd()), int(p.f.Fd())) },
	"many descriptors": func(p *peer) {
		p.notify("orphan-pts-master", 0, slices.Repeat([]int{int(p.f.Fd())}, 2*maxDescriptors)...)
	},
	"no descriptor": func(p *peer) { p.notify("orphan-pts-master", 0) },
	"notifications without end": func(p *peer) {
		for range maxNotifications + 1 {
			p.write(notification("pre-dump", 0))
			if p.read() == nil {
				return
			}
		}
	},
}

func TestNonsenseIsRefused(t *testing.T) {
	for name, say := range nonsense {
		t.Run(name, func(t *testing.T) {
			before := openFiles(t)
			c := play(t, func(p *peer) {
				p.read()
				say(p)
				p.read() // until it is killed
			})
			killed := 0
			c.Kill = func() { killed++ }
			dir := OpenTempDir(t)
			err := c.Dump(t.Context(), Options{ImagesDir: dir, Pid: 77}, Notify{PostRestore: func(int) error { return nil }})
			if !errors.Is(err, ErrNonsense) || killed != 1 {
				t.Errorf("Dump: %v, killed %d times", err, killed)
			}
			dir.Close()
			c.Close()
			if after := openFiles(t); after > before+1 { // the peer may not have ended yet
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// criu may end at any step: before it reads, after each notification, before the reply.
func TestCriuDiesAtEachStep(t *testing.T) {
	points := []string{"pre-dump", "network-lock", "query-ext-files", "post-dump", "network-unlock"}
	for step := range len(points) + 2 {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			c := play(t, func(p *peer) {
				if step == 0 {
					return
				}
				p.read()
				for _, point := range points[:step-1] {
					p.notify(point, 0)
				}
			})
			err := c.Dump(t.Context(), Options{ImagesDir: OpenTempDir(t), Pid: 77}, Notify{})
			if !errors.Is(err, errGone) || errors.Is(err, ErrNonsense) {
				t.Errorf("Dump: %v", err)
			}
		})
	}
}

func TestSilenceEnds(t *testing.T) {
	c := play(t, func(p *peer) {
		p.read()
		p.read() // says nothing until it is killed
	})
	killed := 0
	c.Silence, c.Kill = 20*time.Millisecond, func() { killed++ }
	err := c.Dump(t.Context(), Options{ImagesDir: OpenTempDir(t), Pid: 77}, Notify{})
	if !errors.Is(err, os.ErrDeadlineExceeded) || killed != 1 || !strings.Contains(err.Error(), "says nothing") {
		t.Errorf("Dump: %v, killed %d times", err, killed)
	}
}

var errStop = errors.New("maxPause is over")

// The context's end kills criu wherever it is, and its cause is the error.
func TestTheContextEndsAVerb(t *testing.T) {
	for name, script := range map[string]func(p *peer, cancel func()){
		"before":     func(_ *peer, cancel func()) {},
		"in silence": func(p *peer, cancel func()) { p.read(); cancel(); p.read() },
		"in a notification": func(p *peer, _ func()) {
			p.read()
			if p.notify("post-dump", 0) {
				t.Error("what is over was agreed to")
			}
		},
		"with the reply": func(p *peer, cancel func()) {
			p.read()
			cancel()
			p.write(reply(rpc.CriuReqType_DUMP, true))
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			if name == "before" {
				cancel(errStop)
			}
			c := play(t, func(p *peer) { script(p, func() { cancel(errStop) }) })
			killed := make(chan struct{})
			c.Kill = func() { close(killed) }
			err := c.Dump(ctx, Options{ImagesDir: OpenTempDir(t), Pid: 77}, Notify{PostDump: func() error {
				cancel(errStop)
				<-killed
				return nil
			}})
			if !errors.Is(err, errStop) {
				t.Errorf("Dump: %v", err)
			}
			if name != "before" {
				<-killed
			}
		})
	}
}

// A criu that only writes into its log is ended before that is too large.
func TestALoudLogEndsAVerb(t *testing.T) {
	dir := OpenTempDir(t)
	c := play(t, func(p *peer) {
		p.read()
		if err := errors.Join(os.WriteFile(dir.Name()+"/dump.log", []byte("Error (x.c:1): again\n"), 0o600), os.Truncate(dir.Name()+"/dump.log", maxLogFile+1)); err != nil {
			t.Error(err)
		}
		p.read()
	})
	killed := make(chan struct{})
	c.Kill = func() { close(killed) }
	if err := c.Dump(t.Context(), Options{ImagesDir: dir, Pid: 77}, Notify{}); !errors.Is(err, errLoud) {
		t.Errorf("Dump: %v", err)
	}
	<-killed
}

func TestFeaturesAreThoseOfTheReply(t *testing.T) {
	c := play(t, func(p *peer) {
		if req := p.read(); !req.GetFeatures().GetMemTrack() || !req.GetKeepOpen() {
			t.Errorf("the request: %v", req)
		}
		answer := reply(rpc.CriuReqType_FEATURE_CHECK, true)
		answer.Features = &rpc.CriuFeatures{MemTrack: new(false), LazyPages: new(true)}
		p.write(answer)
		p.read()
		answer = reply(rpc.CriuReqType_VERSION, true)
		answer.Version = &rpc.CriuVersion{MajorNumber: new(int32(4)), MinorNumber: new(int32(2)), Sublevel: new(int32(1))}
		p.write(answer)
	})
	got, err := c.Features(t.Context())
	if got != (Features{LazyPages: true}) || err != nil {
		t.Errorf("Features: %+v, %v", got, err)
	}
	if version, err := c.Version(t.Context()); version != "4.2.1" || err != nil {
		t.Errorf("Version: %q, %v", version, err)
	}
}

// A reply without success has the log's reason; without a log, the reply's.
func TestAFailureQuotesTheLog(t *testing.T) {
	for name, test := range map[string]struct{ log, reply, want string }{
		"log":         {"Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\nWarn  (criu/x.c:1): odd\nError (criu/sk-inet.c:137): Unsupported proto 262 for socket 1f\nError (criu/cr-dump.c:9): Dumping FAILED.\n", "x", "cannot dump: a process has an MPTCP socket, which criu cannot save (criu: Unsupported proto 262 for socket 1f)\nhint: set the sysctl net.mptcp.enabled"},
		"early":       {"", "Error (criu/cr-service.c:1): Can't open images directory: No such file", "cannot dump: criu: Can't open images directory: No such file"},
		"says little": {"", "", "cannot dump: criu does not say why"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := OpenTempDir(t)
			if test.log != "" {
				if err := os.WriteFile(dir.Name()+"/dump.log", []byte(test.log), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := play(t, func(p *peer) {
				p.read()
				answer := reply(rpc.CriuReqType_DUMP, false)
				answer.CrErrmsg = &test.reply
				p.write(answer)
			})
			err := c.Dump(t.Context(), Options{ImagesDir: dir, Pid: 77}, Notify{})
			if e, ok := errors.AsType[*Error](err); !ok || !strings.HasPrefix(e.Error(), test.want) {
				t.Errorf("Dump: %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestNewConnRefusesOtherFiles(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	stream, other := os.NewFile(uintptr(fds[0]), "stream"), os.NewFile(uintptr(fds[1]), "other")
	defer stream.Close()
	defer other.Close()
	for _, f := range []*os.File{stream, OpenTempDir(t)} {
		if c, err := NewConn(f); c != nil || !errors.Is(err, os.ErrInvalid) {
			t.Errorf("NewConn(%s): %v", f.Name(), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, resp := range []*rpc.CriuResp{notification("post-restore", 7), reply(rpc.CriuReqType_DUMP, false)} {
		data, _ := resp.MarshalVT()
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		resp := &rpc.CriuResp{}
		if decode(resp, data) == nil && resp.Type == nil {
			t.Error("a message without a type")
		}
	})
}
