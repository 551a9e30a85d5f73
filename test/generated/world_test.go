package generated

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

// patience bounds the life of one container.
var patience = kerneltest.Patient(time.Minute)

// world is where the containers are: a file system in memory, so that what is made in it and mounted is gone with it.
type world struct {
	*machine
	dir, parent string
	runtimes    [2]runtimeOf // runc, this one
}

// runtimeOf is a command line with a state directory of its own.
type runtimeOf struct{ name, path string }

func newWorld(t *testing.T) *world {
	t.Helper()
	kerneltest.Root(t)
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("skip: needs runc: apt-get install runc")
	}
	dir, err := os.MkdirTemp("", "generated")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	kerneltest.NoLeaks(t, kerneltest.Scope{Dirs: []string{dir}})
	parent := kerneltest.Parent(t)
	err = unix.Mount("generated", dir, "tmpfs", 0, "mode=755")
	if err == nil {
		t.Cleanup(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		err = unix.Mount("", dir, "", unix.MS_PRIVATE, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &world{machine: newMachine(t), dir: dir, parent: parent, runtimes: [2]runtimeOf{{"runc", runc}, {"ours", filepath.Join(dir, "oci-runtime")}}}
	w.build(t, "oci-runtime", "../../cmd/reconciler")
	w.build(t, "probe", "./probe")
	return w
}

// build builds a command as static as it has to be in a root of its own.
func (w *world) build(t *testing.T, name, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(w.dir, name), pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// outcome is what became of a container.
type outcome struct {
	seen     map[string]string // from inside, and of its cgroups and its rootfs from outside
	messages string            // of a runtime that failed
}

// run has a runtime run a sample, in a bundle of its own.
func (w *world) run(t *testing.T, number uint64, r runtimeOf, s *sample) (o outcome) {
	t.Helper()
	id := fmt.Sprintf("sample-%d-%s", number, r.name)
	bundle := filepath.Join(w.dir, "bundle-"+id)
	w.bundle(t, bundle, id, s)
	defer func() {
		_ = unix.Unmount(filepath.Join(bundle, "source/shared/below"), unix.MNT_DETACH)
		_ = unix.Unmount(filepath.Join(bundle, "source/directory/below"), unix.MNT_DETACH)
		if err := os.RemoveAll(bundle); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.path, "--root", filepath.Join(w.dir, "state-"+r.name), "run", "--bundle", bundle, id)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET=", "LISTEN_FDS=")
	cmd.WaitDelay = time.Second
	var messages bytes.Buffer
	cmd.Stderr = &messages
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o.seen = map[string]string{}
	if err := json.NewDecoder(stdout).Decode(&o.seen); err == nil {
		w.cgroups(o.seen, id)
	}
	_ = stdin.Close()
	if err := cmd.Wait(); err != nil || ctx.Err() != nil {
		o.seen = nil
		o.messages = fmt.Sprintf("%s: %v\n%s", r.name, err, messages.String())
		_ = exec.Command(r.path, "--root", filepath.Join(w.dir, "state-"+r.name), "delete", "--force", id).Run()
		return o
	}
	rootfs(o.seen, filepath.Join(bundle, "rootfs"))
	plain := strings.NewReplacer(strings.TrimPrefix(bundle, w.dir), "BUNDLE", id, "ID", w.parent, "PARENT")
	for key, value := range o.seen {
		o.seen[key] = plain.Replace(value)
	}
	return o
}

// bundle makes the bundle of a sample.
func (w *world) bundle(t *testing.T, dir, id string, s *sample) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "rootfs")
	for _, d := range []struct {
		name     string
		mode     os.FileMode
		uid, gid int
	}{
		{".", 0o755, 0, 0},
		{"rootfs", 0o755, 0, 0},
		{"rootfs/etc", 0o755, 0, 0},
		{"rootfs/tmp", 0o777 | os.ModeSticky, 0, 0},
		{"rootfs/data", 0o751, 1000, 100},
		{"rootfs/secret", 0o755, 0, 0},
		{"rootfs/secret/directory", 0o755, 0, 0},
		{"source", 0o755, 0, 0},
		{"source/directory", 0o775, 0, 1000},
		{"source/directory/below", 0o755, 0, 0},
		{"source/shared", 0o755, 0, 0},
		{"source/shared/below", 0o755, 0, 0},
	} {
		path := filepath.Join(dir, d.name)
		must(os.Mkdir(path, 0o755))
		uid, gid := s.shift(d.uid), s.shift(d.gid)
		must(os.Chown(path, uid, gid))
		must(os.Chmod(path, d.mode))
	}
	for _, name := range []string{"rootfs/etc/file", "rootfs/tmp/file", "rootfs/data/file", "rootfs/secret/file", "rootfs/secret/directory/file", "source/file", "source/directory/file"} {
		must(os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
	}
	must(os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n"), 0o644))
	must(os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\nweb:x:1000:\naudio:x:29:web\n"), 0o644))
	must(os.Symlink("data", filepath.Join(root, "link")))
	must(os.Link(filepath.Join(w.dir, "probe"), filepath.Join(root, "probe")))
	for name, propagation := range map[string]uintptr{"shared": unix.MS_SHARED, "directory": unix.MS_PRIVATE} {
		below := filepath.Join(dir, "source", name, "below")
		must(unix.Mount("below", below, "tmpfs", 0, "mode=777"))
		must(unix.Mount("", below, "", propagation, ""))
	}
	config := *s.config
	linux, process := *config.Linux, *config.Process
	config.Linux, config.Process = &linux, &process
	linux.CgroupsPath = "/" + w.parent + "/" + id
	look, err := json.Marshal(s.orders)
	must(err)
	process.Args = slices.Clone(process.Args)
	process.Args[1] = string(look)
	text, err := json.MarshalIndent(config, "", "  ")
	must(err)
	must(os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644))
}

// shift is what engines do to a rootfs for a user namespace: the numbers in it mean what they say.
func (s *sample) shift(id int) int {
	for _, m := range s.config.Linux.UIDMappings {
		if n := uint32(id) - m.ContainerID; n < m.Size {
			return int(m.HostID + n)
		}
	}
	return id
}

// passing are files of cgroups that say what happens, or only take orders.
var passing = []string{"cgroup.procs", "cgroup.threads", "tasks", "failcnt", "max_usage_in_bytes", "force_empty", "cpuacct.usage", "pressure", "pressure_level", "event_control", "reset_stats", "peak", "cgroup.kill", "reclaim"}

// cgroups notes the settings of a container's cgroups, file by file.
func (w *world) cgroups(seen map[string]string, id string) {
	hierarchies, _ := filepath.Glob("/sys/fs/cgroup/*/" + w.parent)
	if len(w.tree.V1) == 0 {
		hierarchies = []string{filepath.Join(w.tree.Unified, w.parent)}
	}
	for _, top := range hierarchies {
		_ = filepath.WalkDir(filepath.Join(top, id), func(path string, e fs.DirEntry, err error) error {
			if err != nil || slices.ContainsFunc(passing, func(p string) bool { return strings.HasSuffix(path, p) }) {
				return nil
			}
			key := "cgroup " + strings.Replace(strings.TrimPrefix(path, "/sys/fs/cgroup/"), w.parent+"/"+id, "", 1)
			info, err := e.Info()
			if err != nil {
				return nil
			}
			text := "directory"
			if !e.IsDir() {
				if info.Mode()&0o200 == 0 && e.Name() != "devices.list" || info.Mode()&0o400 == 0 {
					return nil
				}
				data, err := os.ReadFile(path)
				if err != nil {
					return nil
				}
				lines := strings.Split(strings.TrimSpace(string(data)), "\n")
				slices.Sort(lines)
				text = strings.Join(lines, "; ")
			}
			seen[key] = text
			return nil
		})
	}
}

// rootfs notes what a container leaves in its rootfs.
func rootfs(seen map[string]string, dir string) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if err == nil {
			seen["rootfs "+strings.TrimPrefix(path, dir)+"/"] = fmt.Sprintf("%06o %d:%d %#x", st.Mode, st.Uid, st.Gid, st.Rdev)
		}
		return nil
	})
}
