package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// engine is an OCI runtime with the same root and isolation as ours.
type engine struct {
	name, path, root, bundle string
	complaints               *os.File // nil for none
	mark                     *os.File
}

// found are the paths of the engines that are there.
func found(b *testing.B) (paths []string) {
	b.Helper()
	for _, name := range []string{"crun", "runc"} {
		if path, err := exec.LookPath(name); err != nil {
			b.Logf("no %s: its ratios are left out", name)
		} else {
			paths = append(paths, path)
		}
	}
	return paths
}

// engines start with `run --detach` and destroy with `delete --force`. Those that cannot give a container users of its own are left out when it is
// to have some.
func engines(b *testing.B, rootfs string, m mark, users bool) (subjects []subject) {
	b.Helper()
	for _, path := range found(b) {
		e := newEngine(b, path, rootfs, m, users)
		if users {
			if err := e.try("run", "--detach", e.id(-1)); err != nil {
				b.Log(err)
				continue
			}
			m.wait(b)
			e.run(b, "delete", "--force", e.id(-1))
		}
		subjects = append(subjects, subject{e.name, false, []step{
			{"start", func(b *testing.B, round int) {
				e.run(b, "run", "--detach", e.id(round))
				m.wait(b)
			}},
			{"destroy", func(b *testing.B, round int) { e.run(b, "delete", "--force", e.id(round)) }},
		}})
	}
	return subjects
}

func newEngine(b *testing.B, path, rootfs string, m mark, users bool) *engine {
	b.Helper()
	takeHugetlb(b)
	e := &engine{name: filepath.Base(path), path: path, root: memory(b), bundle: directory(b, ""), mark: m.f}
	if users {
		e.name += "-users"
	}
	var err error
	if e.complaints, err = os.Create(filepath.Join(e.bundle, "complaints")); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.complaints.Close() })
	e.run(b, "spec")
	e.configure(b, func(config map[string]any) { configure(config, rootfs, m, users) })
	return e
}

// configure changes the bundle's configuration.
func (e *engine) configure(b *testing.B, change func(config map[string]any)) {
	b.Helper()
	file := filepath.Join(e.bundle, "config.json")
	config := map[string]any{}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil {
		b.Fatal(err)
	}
	change(config)
	if data, err = json.Marshal(config); err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// configure changes an engine's own example to what our container is.
func configure(config map[string]any, rootfs string, m mark, users bool) {
	process, linux := config["process"].(map[string]any), config["linux"].(map[string]any)
	process["terminal"], process["args"] = false, payload
	config["root"] = map[string]any{"path": rootfs, "readonly": true}
	config["mounts"] = append(config["mounts"].([]any), map[string]any{"destination": "/mark", "type": "bind", "source": m.dir, "options": []string{"rbind", "rw"}})
	linux["resources"] = map[string]any{"memory": map[string]any{"limit": 256 << 20}, "pids": map[string]any{"limit": 100}}
	linux["seccomp"] = map[string]any{"defaultAction": "SCMP_ACT_ERRNO", "architectures": []string{"SCMP_ARCH_X86_64"}, "syscalls": []any{
		map[string]any{"names": allowed(), "action": "SCMP_ACT_ALLOW"},
	}}
	if users {
		linux["namespaces"] = append(linux["namespaces"].([]any), map[string]any{"type": "user"})
		ids := []any{map[string]any{"containerID": 0, "hostID": 524288, "size": 65536}}
		linux["uidMappings"], linux["gidMappings"] = ids, ids
	}
}

func (e *engine) id(round int) string {
	return fmt.Sprintf("reconciler-bench-%s-%d-%d", e.name, os.Getpid(), round)
}

func (e *engine) run(b *testing.B, args ...string) {
	if err := e.try(args...); err != nil {
		b.Fatal(err)
	}
}

// try runs the engine. Its complaints go to a file: a pipe would stay open as long as the container.
func (e *engine) try(args ...string) error {
	cmd := exec.Command(e.path, append([]string{"--root", e.root}, args...)...)
	cmd.Dir = e.bundle
	if e.complaints != nil {
		cmd.Stderr = e.complaints
	}
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(filepath.Join(e.bundle, "complaints"))
		return fmt.Errorf("%s %v: %w\n%s", e.name, args, err, text)
	}
	return nil
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

// allowed is a filter of usual length that lets the payload live.
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
