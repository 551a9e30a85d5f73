package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/machine"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// savedOurs is a container of a node that takes images.
type savedOurs struct {
	n         *machine.Node
	node      *node // the same
	container spec.Container
	lazy      bool
	image     spec.Image
}

func newSavedOurs(b *testing.B, n *machine.Node, rootfs string, m mark, load load, lazy bool) saver {
	b.Helper()
	s := &savedOurs{n: n, node: &node{n.Node, rootfs, m}, lazy: lazy}
	c := s.node.container("saved", load.command()...)
	c.Spec.Resources.Memory = spec.Memory{Max: spec.NewLimit(2 << 30)}
	c.Spec.Checkpoint.Lazy = lazy
	s.container = c
	return s
}

func (s *savedOurs) name() string {
	if s.lazy {
		return "lazy"
	}
	return "ours"
}

func (s *savedOurs) start(b *testing.B) { s.node.run(b, s.container) }

func (s *savedOurs) checkpoint(b *testing.B, stop bool) spec.Image {
	image, err := s.n.Checkpoint(context.Background(), "saved", 1, spec.CheckpointOptions{Stop: stop})
	if err != nil {
		b.Fatal(err)
	}
	return image
}

func (s *savedOurs) live(b *testing.B) time.Duration {
	return time.Duration(s.checkpoint(b, false).Frozen)
}

func (s *savedOurs) stop(b *testing.B) { s.image = s.checkpoint(b, true) }

func (s *savedOurs) restore(b *testing.B) {
	if err := s.n.Restore(context.Background(), "saved", 1, s.image.Ref()); err != nil {
		b.Fatal(err)
	}
}

func (s *savedOurs) end(b *testing.B) {
	s.node.destroy(b, "saved")
	images, err := s.n.Images(context.Background(), "saved")
	for _, i := range images {
		if err == nil {
			err = s.n.RemoveImage(context.Background(), i.Ref())
		}
	}
	if err != nil {
		b.Fatal(err)
	}
}

// savedRunc is one of runc's. It leaves cgroups alone, as ours does, and is told a folder for each image.
type savedRunc struct {
	*engine
	dir string
}

func newSavedRunc(b *testing.B, path, rootfs string, m mark, load load) saver {
	b.Helper()
	e := newEngine(b, path, rootfs, m, false)
	options := filepath.Join(e.bundle, "criu.conf")
	if err := os.WriteFile(options, []byte("manage-cgroups ignore\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	e.configure(b, func(config map[string]any) {
		config["annotations"] = map[string]any{"org.criu.config": options}
		config["process"].(map[string]any)["args"] = load.command()
		config["linux"].(map[string]any)["resources"] = map[string]any{"memory": map[string]any{"limit": 2 << 30}, "pids": map[string]any{"limit": 100}}
	})
	s := &savedRunc{e, directory(b, "")}
	b.Cleanup(func() { _ = e.try("delete", "--force", e.id(0)) })
	return s
}

func (s *savedRunc) name() string { return "runc" }

func (s *savedRunc) start(b *testing.B) {
	s.silently(b, "run", "--detach", s.id(0))
	mark{f: s.mark}.wait(b)
}

// silently runs the engine with nothing open that the container would inherit, and no image can have.
func (s *savedRunc) silently(b *testing.B, args ...string) {
	complaints := s.complaints
	s.complaints = nil
	s.run(b, args...)
	s.complaints = complaints
}

func (s *savedRunc) checkpoint(b *testing.B, more ...string) {
	clear(b, s.dir)
	s.run(b, append(append([]string{"checkpoint", "--image-path", s.dir, "--work-path", s.dir}, more...), s.id(0))...)
}

func (s *savedRunc) live(b *testing.B) time.Duration {
	s.checkpoint(b, "--leave-running")
	return frozen(b, s.dir)
}

func (s *savedRunc) stop(b *testing.B) { s.checkpoint(b) }

func (s *savedRunc) restore(b *testing.B) {
	s.silently(b, "restore", "--detach", "--image-path", s.dir, "--work-path", s.dir, s.id(0))
}

func (s *savedRunc) end(b *testing.B) { s.run(b, "delete", "--force", s.id(0)) }

// frozen is how long processes stood still, as criu has it.
func frozen(b *testing.B, dir string) time.Duration {
	b.Helper()
	f, err := os.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	stats, err := criu.ReadDumpStats(f)
	if err != nil {
		b.Fatal(err)
	}
	return stats.Freezing + stats.Frozen
}

// clear empties a directory.
func clear(b *testing.B, dir string) {
	b.Helper()
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
}

// savedBare are processes in a pid namespace of their own and nothing else, and criu by its command line.
type savedBare struct {
	tool    criu.Tool
	command []string
	mark    mark
	dir     string
	cmd     *exec.Cmd
	pid     int
}

func newSavedBare(b *testing.B, tool criu.Tool, rootfs string, m mark, load load) saver {
	b.Helper()
	command := load.command()
	command[0] = filepath.Join(rootfs, "bin/sh")
	command[2] = strings.ReplaceAll(command[2], "/mark/", m.dir+"/")
	return &savedBare{tool: tool, command: command, mark: m, dir: directory(b, "")}
}

func (s *savedBare) name() string { return "criu" }

func (s *savedBare) start(b *testing.B) {
	s.cmd = exec.Command(s.command[0], s.command[1:]...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Setsid: true}
	s.cmd.Dir, s.cmd.Env = "/", []string{"PATH=" + filepath.Dir(s.command[0])}
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	s.pid = s.cmd.Process.Pid
	s.mark.wait(b)
}

func (s *savedBare) criu(b *testing.B, args ...string) {
	cmd := exec.Command(s.tool.Path, append(args, "--no-default-config", "--images-dir", s.dir, "-v2", "--log-file", "log", "--manage-cgroups=ignore", "--network-lock", "skip")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		b.Fatalf("criu %v: %v\n%s%s", args, err, out, log)
	}
}

func (s *savedBare) live(b *testing.B) time.Duration {
	clear(b, s.dir)
	s.criu(b, "dump", "--leave-running", "--tree", strconv.Itoa(s.pid))
	return frozen(b, s.dir)
}

func (s *savedBare) stop(b *testing.B) {
	clear(b, s.dir)
	s.criu(b, "dump", "--tree", strconv.Itoa(s.pid))
	_ = s.cmd.Wait()
}

func (s *savedBare) restore(b *testing.B) {
	file := filepath.Join(s.dir, "pid")
	s.criu(b, "restore", "--restore-detached", "--pidfile", file)
	text, err := os.ReadFile(file)
	if err == nil {
		s.pid, err = strconv.Atoi(string(text))
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (s *savedBare) end(*testing.B) { _ = unix.Kill(s.pid, unix.SIGKILL) }
