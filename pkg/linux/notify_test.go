package linux_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// herald says inside a container by sd_notify(3) what its arguments are, with | for line ends.
func herald(args []string) {
	fmt.Println("up", os.Getenv("NOTIFY_SOCKET"))
	for _, arg := range args {
		fmt.Println("sent", arg, sdNotify(os.Getenv("NOTIFY_SOCKET"), strings.ReplaceAll(arg, "|", "\n")))
	}
	time.Sleep(time.Hour)
}

func sdNotify(socket, text string) error {
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(text))
	return err
}

// probed is a container that is waited for.
func probed(c spec.Container) spec.Container {
	c.Spec.Probes.Readiness = &spec.Probe{Notify: true}
	return c
}

func (n *node) awaitNotified(t testing.TB, name string, want spec.Notified) {
	t.Helper()
	want.Socket = true
	n.await(t, name, 1, func(in spec.Instance) bool { return in.Notified == want })
}

var ready = spec.Notified{Started: true, Ready: true, Status: "up and well"}

// A container of any kind says that it is ready, and is heard, whatever becomes of agent and keeper.
func TestNotify(t *testing.T) {
	n := open(t)
	events, err := n.Events(t.Context())
	must(t, err)
	for _, mode := range []spec.UserMode{spec.UserHost, spec.UserAuto} { // what is made once and kept is there from now on
		c := n.container("warm", "echo up")
		c.Spec.Rootfs.ReadOnly, c.Spec.Namespaces.User.Mode = false, mode
		n.say(t, c)
	}
	all := kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}, Pids: []int{n.keeper(t)}}
	for name, change := range map[string]func(*spec.Container){
		"plain": func(*spec.Container) {},
		"user":  func(c *spec.Container) { c.Spec.User = "1000:1000" },
		"run": func(c *spec.Container) {
			c.Spec.Mounts = append(c.Spec.Mounts, spec.Mount{Type: spec.MountTmpfs, Destination: "/run"})
		},
		"writable": func(c *spec.Container) { c.Spec.Rootfs.ReadOnly = false },
		"private":  func(c *spec.Container) { c.Spec.Namespaces.User.Mode = spec.UserAuto },
		"bare":     func(c *spec.Container) { c.Spec.Base = spec.BaseNone },
		"startup": func(c *spec.Container) {
			c.Spec.Probes = spec.Probes{Startup: &spec.Probe{Notify: true}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			kerneltest.NoLeaks(t, all)
			c := probed(n.attacker(t, name, "herald", "STATUS=soon", "READY=1|STATUS=up and well", ""))
			change(&c)
			n.run(t, c, 1)
			n.awaitNotified(t, name, ready)
			if out := n.output(t, name); !strings.HasPrefix(out, "up /run/notify/notify.sock\n") {
				t.Errorf("said %q", out)
			}
			for e := range events {
				if e == (spec.Event{Name: name, Kind: spec.EventNotify}) {
					break
				}
			}
			must(t, n.Destroy(t.Context(), name, 1, false))
		})
	}
}

// The word is kept when agent and keeper die, what is said later is heard by the next, and the next run begins anew.
func TestNotifyOutlives(t *testing.T) {
	n := open(t)
	c := n.container("web", `trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done`)
	c = probed(c)
	n.run(t, c, 1)
	n.hear(t, "web", "up")
	say := func(text string) error { return n.sendInto(t, "web", text) }
	if in := n.look(t, "web", 1); in.Notified != (spec.Notified{Socket: true}) {
		t.Errorf("before a word: %+v", in.Notified)
	}
	must(t, n.Close()) // nobody decides
	must(t, say("READY=1\nSTATUS=up and well"))
	n.Node = nil
	n.reopen(t)
	n.awaitNotified(t, "web", ready)

	n.killKeeper(t)
	if err := say("RELOADING=1"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("without a keeper: %v", err)
	}
	n.reopen(t)
	n.awaitNotified(t, "web", ready)
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // until the keeper has taken it over
		if err := say("RELOADING=1"); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	n.awaitNotified(t, "web", spec.Notified{Started: true, Status: "up and well"})
	must(t, n.Stop(t.Context(), "web", 1, "SIGTERM", patience))
	n.await(t, "web", 1, exited)
	must(t, n.Start(t.Context(), "web", 1))
	n.awaitNotified(t, "web", spec.Notified{})
	must(t, say("READY=1"))
	n.awaitNotified(t, "web", spec.Notified{Started: true, Ready: true})
}

// sendInto sends to a running container's socket by its own way to it.
func (n *node) sendInto(t testing.TB, name, text string) error {
	t.Helper()
	record, err := os.ReadFile(n.file(name, 1, "start.json"))
	must(t, err)
	_, after, _ := strings.Cut(string(record), `"pid":`)
	pid, _, _ := strings.Cut(after, ",")
	return sdNotify(fmt.Sprintf("/proc/%s/root%s", pid, spec.NotifySocket), text)
}

// Who is not waited for has none of it, and cannot be given it while he runs; who says his own NOTIFY_SOCKET keeps that.
func TestNotifyNotAsked(t *testing.T) {
	n := open(t)
	const look = `echo "socket=$NOTIFY_SOCKET"; ls /run/notify 2>&1; ` + forever
	n.run(t, n.container("none", look), 1)
	n.hear(t, "none", "up")
	if out := n.output(t, "none"); !strings.HasPrefix(out, "socket=\nls: /run/notify: No such file") {
		t.Errorf("not asked: %q", out)
	}
	if entries, _ := filepath.Glob(n.file("none", 1, "notify*")); len(entries) > 0 || n.look(t, "none", 1).Notified != (spec.Notified{}) {
		t.Errorf("not asked: %v", entries)
	}
	own := probed(n.container("own", look))
	own.Spec.Env = map[string]string{"NOTIFY_SOCKET": "/mine"}
	n.run(t, own, 1)
	n.hear(t, "own", "up")
	if out := n.output(t, "own"); !strings.HasPrefix(out, "socket=/mine\nnotify.sock") {
		t.Errorf("its own: %q", out)
	}
	if err := n.Update(t.Context(), probed(n.container("none", look)), 1); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("asked in place: %v", err)
	}
}

// A container speaks for itself alone, and cannot put anything in the place of its socket.
func TestNotifyApart(t *testing.T) {
	n := open(t)
	for _, name := range []string{"one", "two"} {
		c := probed(n.attacker(t, name, "herald", "READY=1|STATUS="+name, "STATUS="+name))
		if name == "two" {
			c.Spec.Mounts = append(c.Spec.Mounts, spec.Mount{Type: spec.MountTmpfs, Destination: "/tmp"})
			c.Spec.Command = []string{"/bin/sh", "-c", "for f in " + n.path("run") + "/state/one/1/notify /run/notify/../one /run/notify/x; do ls $f; done; rm -f /run/notify/notify.sock; ln -s x /run/notify/x; chmod 0 /run/notify/notify.sock; exec " + attackerPath + " attack herald READY=1 STATUS=" + name}
		}
		n.run(t, c, 1)
	}
	for _, name := range []string{"one", "two"} {
		n.awaitNotified(t, name, spec.Notified{Started: true, Ready: true, Status: name})
	}
	out := n.output(t, "two")
	for _, want := range []string{n.path("run") + "/state/one/1/notify: No such file", "one: No such file", "can't remove '/run/notify/notify.sock': Read-only file system", "ln: /run/notify/x: Read-only file system", "chmod: /run/notify/notify.sock: Read-only file system"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
}
