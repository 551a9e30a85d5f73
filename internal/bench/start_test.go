// Package bench measures a node against its yardsticks in one run: crun, runc and a bare clone3 with execve. It prints
// ratios; it asserts nothing.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "keeper" {
		os.Exit(keeper.Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// gaps are the pauses between rounds: a busy node, and two that are idle in between.
var gaps = []time.Duration{0, 15 * time.Millisecond, 100 * time.Millisecond}

// BenchmarkStart is the time from the call to the payload's first write, and of destroying it while it runs.
func BenchmarkStart(b *testing.B) {
	kerneltest.Root(b)
	mark := newMark(b)
	rootfs := kerneltest.Rootfs(b)
	subjects := []subject{newOurs(b, rootfs, mark), newBare(rootfs, mark)}
	for _, name := range []string{"crun", "runc"} {
		if path, err := exec.LookPath(name); err != nil {
			b.Logf("no %s: its ratios are left out", name)
		} else {
			subjects = append(subjects, newEngine(b, path, rootfs, mark))
		}
	}
	for _, gap := range gaps {
		b.Run(fmt.Sprintf("gap=%v", gap), func(b *testing.B) {
			starts, stops := make([][]time.Duration, len(subjects)), make([][]time.Duration, len(subjects))
			for i := range b.N {
				for s, subject := range subjects {
					time.Sleep(gap)
					began := time.Now()
					subject.start(b, i)
					mark.wait(b)
					starts[s] = append(starts[s], time.Since(began))
					began = time.Now()
					subject.destroy(b, i)
					stops[s] = append(stops[s], time.Since(began))
				}
			}
			for s, subject := range subjects {
				b.Logf("%-10s start %8v  destroy %8v  (n=%d)  ours/it: start %.2f destroy %.2f", subject.name, median(starts[s]), median(stops[s]), b.N,
					ratio(starts[0], starts[s]), ratio(stops[0], stops[s]))
				b.ReportMetric(ratio(starts[0], starts[s]), "start/"+subject.name)
				b.ReportMetric(ratio(stops[0], stops[s]), "destroy/"+subject.name)
			}
		})
	}
}

// BenchmarkHundred is a hundred containers from cold, one after the other.
func BenchmarkHundred(b *testing.B) {
	kerneltest.Root(b)
	mark := newMark(b)
	ours := newOurs(b, kerneltest.Rootfs(b), mark)
	var took []time.Duration
	for range min(b.N, 5) {
		began := time.Now()
		for i := range 100 {
			ours.start(b, i)
			mark.wait(b)
		}
		took = append(took, time.Since(began))
		for i := range 100 {
			ours.destroy(b, i)
		}
	}
	b.ReportMetric(float64(median(took).Milliseconds()), "ms/100")
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2].Round(10 * time.Microsecond)
}

func ratio(a, b []time.Duration) float64 { return float64(median(a)) / float64(median(b)) }

// subject starts and destroys the payload, each in its way.
type subject struct {
	name           string
	start, destroy func(b *testing.B, round int)
}

// mark is a FIFO that the payload writes to first of all.
type mark struct {
	dir string
	f   *os.File
}

func newMark(b *testing.B) mark {
	dir := b.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "mark"), 0o666); err != nil {
		b.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "mark"), os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return mark{dir, f}
}

func (m mark) wait(b *testing.B) {
	_ = m.f.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := m.f.Read(make([]byte, 16)); err != nil {
		b.Fatalf("the payload never wrote: %v", err)
	}
}

// payload writes and waits. busybox sh is what all subjects run.
var payload = []string{"/bin/sh", "-c", "echo >/mark/mark; exec sleep 1000"}

// openOurs opens a node for the time of the benchmark.
func openOurs(b *testing.B) *linux.Node {
	dir, err := os.MkdirTemp("", "rbench")
	if err != nil {
		b.Fatal(err)
	}
	n, err := linux.Open(context.Background(), linux.Config{
		RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log"),
		CgroupParent: kerneltest.Parent(b), Log: logr.Discard(),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = n.Shutdown(context.Background())
		_ = n.Close()
		os.RemoveAll(dir)
	})
	return n
}

// ourContainer is the payload with limits.
func ourContainer(rootfs string, m mark, name string) spec.Container {
	return spec.Container{
		APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: name},
		Spec: spec.ContainerSpec{
			Rootfs: spec.Rootfs{Path: rootfs, ReadOnly: true}, Command: payload,
			Mounts:    []spec.Mount{{Type: "bind", Source: m.dir, Destination: "/mark"}},
			Resources: spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(256 << 20)}, Pids: spec.Pids{Max: spec.NewLimit(100)}},
		},
	}
}

func newOurs(b *testing.B, rootfs string, m mark) subject {
	n := openOurs(b)
	return subject{"ours", func(b *testing.B, i int) {
		if err := n.Create(context.Background(), ourContainer(rootfs, m, fmt.Sprintf("bench-%d", i)), 1, spec.DefaultsVersion); err != nil {
			b.Fatal(err)
		}
		if err := n.Start(context.Background(), fmt.Sprintf("bench-%d", i), 1); err != nil {
			b.Fatal(err)
		}
	}, func(b *testing.B, i int) {
		if err := n.Destroy(context.Background(), fmt.Sprintf("bench-%d", i), 1, false); err != nil {
			b.Fatal(err)
		}
	}}
}

// newBare is clone3 and execve in five namespaces, by the standard library, without any file system work: a floor.
func newBare(rootfs string, m mark) subject {
	var cmd *exec.Cmd
	return subject{"bare", func(b *testing.B, _ int) {
		cmd = exec.Command(filepath.Join(rootfs, "bin/busybox"), "sh", "-c", strings.ReplaceAll(payload[2], "/mark/", m.dir+"/"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
	}, func(b *testing.B, _ int) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}}
}

// newEngine is an OCI runtime with the same root and isolation: `run --detach` and `delete --force`.
func newEngine(b *testing.B, path, rootfs string, m mark) subject {
	return makeEngine(b, path, rootfs, m).subject
}

// engine is an OCI runtime with a bundle.
type engine struct {
	subject
	command []string
	id      func(i int) string
}

func makeEngine(b *testing.B, path, rootfs string, m mark) engine {
	takeHugetlb(b)
	bundle, root := b.TempDir(), b.TempDir()
	cmd := exec.Command(path, "spec")
	cmd.Dir = bundle
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s spec: %v\n%s", path, err, out)
	}
	file := filepath.Join(bundle, "config.json")
	data, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		b.Fatal(err)
	}
	process := config["process"].(map[string]any)
	process["terminal"], process["args"] = false, payload
	config["root"] = map[string]any{"path": rootfs, "readonly": true}
	config["mounts"] = append(config["mounts"].([]any), map[string]any{"destination": "/mark", "type": "bind", "source": m.dir, "options": []string{"rbind", "rw"}})
	linux := config["linux"].(map[string]any)
	linux["resources"] = map[string]any{"memory": map[string]any{"limit": 256 << 20}, "pids": map[string]any{"limit": 100}}
	linux["seccomp"] = map[string]any{"defaultAction": "SCMP_ACT_ERRNO", "architectures": []string{"SCMP_ARCH_X86_64"}, "syscalls": []any{
		map[string]any{"names": allowed(), "action": "SCMP_ACT_ALLOW"},
	}}
	if data, err = json.Marshal(config); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		b.Fatal(err)
	}
	name := filepath.Base(path)
	id := func(i int) string { return fmt.Sprintf("reconciler-bench-%s-%d-%d", name, os.Getpid(), i) }
	complaints, err := os.Create(filepath.Join(bundle, "stderr")) // a file: of a pipe, the container would keep the other end
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { complaints.Close() })
	run := func(b *testing.B, args ...string) {
		cmd := exec.Command(path, append([]string{"--root", root}, args...)...)
		cmd.Dir = bundle
		cmd.Stderr = complaints
		if err := cmd.Run(); err != nil {
			text, _ := os.ReadFile(complaints.Name())
			b.Fatalf("%s %v: %v\n%s", name, args, err, text)
		}
	}
	return engine{subject{
		name, func(b *testing.B, i int) { run(b, "run", "--detach", id(i)) },
		func(b *testing.B, i int) { run(b, "delete", "--force", id(i)) },
	}, []string{path, "--root", root}, id}
}

// takeHugetlb mounts a v1 hugetlb hierarchy while the benchmark runs, if it is the only controller a hybrid host's v2 tree
// has: crun refuses a hybrid host that offers any.
func takeHugetlb(b *testing.B) {
	const unified, dir = "/sys/fs/cgroup/unified", "/sys/fs/cgroup/reconciler-bench-hugetlb"
	if has, _ := os.ReadFile(unified + "/cgroup.controllers"); strings.TrimSpace(string(has)) != "hugetlb" {
		return
	}
	_ = os.Mkdir(dir, 0o755)
	if err := unix.Mount("cgroup", dir, "cgroup", 0, "hugetlb"); err != nil {
		b.Logf("cannot mount a v1 hugetlb hierarchy for crun: %v", err)
	}
	b.Cleanup(func() {
		_ = unix.Unmount(dir, 0)
		_ = os.Remove(dir)
	})
}

// allowed is a filter of usual length for the engines.
func allowed() []string {
	return strings.Fields(`accept accept4 access bind brk capget capset chdir chmod chown clock_gettime clock_nanosleep clone clone3 close close_range connect
		dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 execve execveat exit exit_group faccessat faccessat2 fchdir fchmod
		fchmodat fchown fchownat fcntl fdatasync flock fork fstat fstatfs fsync ftruncate futex getcwd getdents64 getegid geteuid getgid getgroups
		getpeername getpgid getpgrp getpid getppid getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid
		gettimeofday getuid ioctl kill link linkat listen lseek lstat madvise mkdir mkdirat mmap mprotect munmap nanosleep newfstatat open openat
		openat2 pause pipe pipe2 poll ppoll prctl pread64 prlimit64 pselect6 pwrite64 read readlink readlinkat readv recvfrom recvmsg rename renameat
		renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend sched_getaffinity sched_yield select sendfile
		sendmsg sendto set_robust_list set_tid_address setgid setgroups setitimer setpgid setresgid setresuid setsid setsockopt setuid shutdown
		sigaltstack socket socketpair splice stat statfs statx symlink symlinkat sysinfo tgkill time truncate umask uname unlink unlinkat utimensat
		vfork wait4 waitid write writev arch_prctl`)
}
