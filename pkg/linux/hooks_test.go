package linux_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// script is a hook of the node's shell.
func script(text string) spec.Hook {
	return spec.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", text}, Env: map[string]string{"PATH": os.Getenv("PATH")}}
}

// storied gives a container hooks that write what they see to a file of the node.
func (n *node) storied(name, main string) (spec.Container, string) {
	story := n.path("story-" + name)
	c := n.container(name, main)
	see := func(kind string) spec.Hook {
		return script(fmt.Sprintf(`echo "%s $(cat) $(hostname) $(readlink /proc/self/ns/uts)" >>%s`, kind, story))
	}
	c.Spec.Hostname = "inside"
	c.Spec.Hooks = spec.Hooks{
		CreateRuntime: []spec.Hook{see("createRuntime"), script("echo second >>" + story)}, CreateContainer: []spec.Hook{see("createContainer")},
		Poststart: []spec.Hook{see("poststart")}, Poststop: []spec.Hook{see("poststop")},
	}
	c.Spec.Mounts = []spec.Mount{{Type: spec.MountBind, Source: n.dir, Destination: "/node"}}
	c.Spec.Hooks.StartContainer = []spec.Hook{{
		Path: "/bin/sh", Args: []string{"sh", "-c", `echo "startContainer $(cat) $(hostname) $(id -u) $A" >>/node/story-` + name},
		Env: map[string]string{"PATH": "/bin", "A": "b"},
	}}
	return c, story
}

// told reads what hooks wrote: the words of each line, without the state, and the states.
func told(t *testing.T, story string) (lines []string, states []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(story)
	must(t, err)
	for line := range strings.Lines(string(text)) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if i := strings.LastIndex(rest, "}"); i >= 0 {
			var state map[string]any
			must(t, json.Unmarshal([]byte(rest[:i+1]), &state))
			states, rest = append(states, state), rest[i+1:]
		}
		lines = append(lines, kind+rest)
	}
	return lines, states
}

// Hooks run in their order, each where it belongs, and know who the container is.
func TestHooks(t *testing.T) {
	n := open(t)
	c, story := n.storied("web", forever)
	c.Metadata.Annotations = map[string]string{"team": "shop"}
	n.run(t, c, 1)
	pid := n.look(t, "web", 1).Pid
	must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	n.await(t, "web", 1, exited)
	must(t, n.Start(t.Context(), "web", 1))
	must(t, n.Destroy(t.Context(), "web", 1, false))
	hostname, err := os.Hostname()
	must(t, err)
	own, err := os.Readlink("/proc/self/ns/uts")
	must(t, err)
	here := " " + hostname + " " + own
	lines, states := told(t, story)
	var kinds []string
	for i, line := range lines {
		if rest, ok := strings.CutPrefix(line, "createContainer inside uts:"); ok && "uts:"+rest != own {
			line = "createContainer inside"
		}
		kinds = append(kinds, strings.TrimSuffix(line, here))
		lines[i] = line
	}
	one := "createRuntime second createContainer startContainer inside 0 b poststart poststop"
	got := strings.ReplaceAll(strings.Join(kinds, " "), "createContainer inside", "createContainer")
	if got != one+" "+one {
		t.Errorf("hooks: %q", got)
	}
	wants := []string{"creating", "creating", "created", "running", "stopped"}
	for i, state := range states {
		if state["status"] != wants[i%5] || state["id"] != "web" || state["ociVersion"] == "" || state["annotations"].(map[string]any)["team"] != "shop" {
			t.Errorf("state %d: %v", i, state)
		}
		if i < 4 && state["pid"] != float64(pid) {
			t.Errorf("hook %d knows process %v, not %d", i, state["pid"], pid)
		}
	}
}

// A hook that fails, or lasts too long, ends the start with its words, and nothing of the container is left but what there was before.
func TestHookFails(t *testing.T) {
	n := open(t)
	n.say(t, n.container("warm", ""))
	everything := kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}, Pids: []int{0, n.keeper(t)}}
	bad := script("echo no such luck; exit 3")
	slow := script("sleep 1000")
	slow.Timeout = spec.Duration(50 * time.Millisecond)
	inside := bad
	inside.Env = map[string]string{"PATH": "/bin"}
	for _, test := range []struct {
		name, says string
		hooks      spec.Hooks
	}{
		{"create-runtime", `createRuntime hook #1: /bin/sh: exit status 3, output: "no such luck"`, spec.Hooks{CreateRuntime: []spec.Hook{script("true"), bad}}},
		{"create-container", `createContainer hook #0: /bin/sh: exit status 3, output: "no such luck"`, spec.Hooks{CreateContainer: []spec.Hook{bad}}},
		{"start-container", `startContainer hook #0: /bin/sh: exit status 3, output: "no such luck"`, spec.Hooks{StartContainer: []spec.Hook{inside}}},
		{"timeout", `createRuntime hook #0: /bin/sh: hook ran past specified timeout of 50ms`, spec.Hooks{CreateRuntime: []spec.Hook{slow}}},
		{"timeout-inside", `createContainer hook #0: /bin/sh: hook ran past specified timeout of 50ms`, spec.Hooks{CreateContainer: []spec.Hook{slow}}},
		{"absent", `createContainer hook #0: /nonexistent: `, spec.Hooks{CreateContainer: []spec.Hook{{Path: "/nonexistent"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			kerneltest.NoLeaks(t, everything)
			c := n.container("web", forever)
			c.Spec.Hooks = test.hooks
			must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
			if err := n.Start(t.Context(), "web", 1); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %s", err, test.says)
			}
			if got := n.look(t, "web", 1); got.Phase != spec.InstanceCreated {
				t.Errorf("after the failed start: %+v", got)
			}
			must(t, n.Destroy(t.Context(), "web", 1, false))
		})
	}
}

// The hooks of poststart and poststop are told of and no more; those of poststop are run though the agent that started has ended.
func TestHooksAfterwards(t *testing.T) {
	n := open(t)
	c, story := n.storied("web", forever)
	c.Spec.Hooks = spec.Hooks{Poststart: []spec.Hook{script("exit 1")}, Poststop: []spec.Hook{script("echo gone >>" + story), script("exit 1")}}
	n.run(t, c, 1)
	n.reopen(t)
	must(t, n.Destroy(t.Context(), "web", 1, false))
	if lines, _ := told(t, story); strings.Join(lines, "") != "gone" {
		t.Errorf("hooks: %q", lines)
	}
}

// supervise answers the calls that a listener's filter asks about, all with the same error, and counts the pids that asked.
func supervise(t *testing.T, l *net.UnixListener, errno unix.Errno) (messages <-chan map[string]any) {
	told := make(chan map[string]any, 8)
	go func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			text, rights := make([]byte, 1<<16), make([]byte, 256)
			size, m, _, _, err := conn.ReadMsgUnix(text, rights)
			conn.Close()
			parsed, _ := unix.ParseSocketControlMessage(rights[:m])
			if err != nil || len(parsed) != 1 {
				t.Errorf("no listener came: %v", err)
				return
			}
			fds, _ := unix.ParseUnixRights(&parsed[0])
			var message map[string]any
			if err := json.Unmarshal(text[:size], &message); err != nil {
				t.Error(err)
			}
			told <- message
			go answer(fds[0], errno)
		}
	}()
	return told
}

// answer answers until the filter's last process has ended.
func answer(fd int, errno unix.Errno) {
	defer unix.Close(fd)
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err == unix.EINTR {
			continue
		}
		// struct seccomp_notif and seccomp_notif_resp, linux/seccomp.h.
		var asked struct {
			id         uint64
			pid, flags uint32
			call       seccomp.Call
		}
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&asked))); e != 0 {
			return
		}
		reply := struct {
			id    uint64
			value int64
			error int32
			flags uint32
		}{id: asked.id, error: -int32(errno)}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&reply)))
	}
}

// A program of the node decides about the calls of a container, and of what is executed in it.
func TestSeccompNotify(t *testing.T) {
	kerneltest.Require(t, feature.SeccompNotify)
	for name, change := range map[string]func(*spec.ContainerSpec){
		"plain":          func(*spec.ContainerSpec) {},
		"new-privileges": func(s *spec.ContainerSpec) { s.Security.AllowNewPrivileges = true },
		"confined":       func(s *spec.ContainerSpec) { s.Security.Capabilities.Add = []string{"SYS_PTRACE"} },
		"users":          func(s *spec.ContainerSpec) { s.Namespaces.User.Mode = spec.UserAuto },
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t)
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: n.path("ask.sock"), Net: "unix"})
			must(t, err)
			defer l.Close()
			told := supervise(t, l, unix.ENOSPC)
			c := n.container("web", "mkdir /tmp/a; "+forever)
			c.Spec.Security = allowing(spec.SeccompRule{Names: []string{"mkdir", "mkdirat"}, Action: spec.SeccompNotify})
			c.Spec.Security.SeccompProfile.ListenerPath, c.Spec.Security.SeccompProfile.ListenerMetadata = n.path("ask.sock"), "web's"
			c.Spec.Hooks.StartContainer = []spec.Hook{{ // under the same filter, of which nobody is asked
				Path: "/bin/sh", Args: []string{"sh", "-c", `mkdir /tmp/hook 2>&1 | grep -q "Operation not permitted" && grep -q "Seccomp:.2" /proc/self/status`}, Env: map[string]string{"PATH": "/bin"},
			}}
			change(&c.Spec)
			n.run(t, c, 1)
			n.hear(t, "web", "No space left on device")
			message := <-told
			state, _ := message["state"].(map[string]any)
			if pid := float64(n.look(t, "web", 1).Pid); message["pid"] != pid || state["pid"] != pid || message["metadata"] != "web's" || state["id"] != "web" {
				t.Errorf("the decider was told %v", message)
			}
			if out, _ := n.inside(t, "web", command("mkdir /tmp/b"), ""); !strings.Contains(out, "No space left on device") {
				t.Errorf("exec: %q", out)
			}
			message = <-told
			state, _ = message["state"].(map[string]any)
			if pid := float64(n.look(t, "web", 1).Pid); message["pid"] == pid || state["pid"] != pid || state["status"] != "running" {
				t.Errorf("the decider was told of the exec %v", message)
			}
		})
	}
}

// Without a program that decides there is no start.
func TestSeccompNotifyNobody(t *testing.T) {
	kerneltest.Require(t, feature.SeccompNotify)
	n := open(t)
	c := n.container("web", forever)
	c.Spec.Security = allowing(spec.SeccompRule{Names: []string{"mkdir"}, Action: spec.SeccompNotify})
	c.Spec.Security.SeccompProfile.ListenerPath = n.path("absent.sock")
	must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
	if err := n.Start(t.Context(), "web", 1); err == nil || !strings.Contains(err.Error(), n.path("absent.sock")) {
		t.Errorf("got %v", err)
	}
	if got := n.look(t, "web", 1); got.Phase != spec.InstanceCreated {
		t.Errorf("after the failed start: %+v", got)
	}
}
