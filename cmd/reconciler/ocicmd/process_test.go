package ocicmd_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// receive accepts one connection and gives the descriptor that comes with a message, and the message.
func receive(t *testing.T, l *net.UnixListener) (*os.File, string) {
	t.Helper()
	_ = l.SetDeadline(time.Now().Add(patience))
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text, oob := make([]byte, 4096), make([]byte, 256)
	n, oobn, _, _, err := conn.ReadMsgUnix(text, oob)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d control messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("descriptors %v, %v", fds, err)
	}
	return os.NewFile(uintptr(fds[0]), "received"), string(text[:n])
}

func (w *world) listen(name string) (*net.UnixListener, string) {
	w.Helper()
	path := filepath.Join(w.dir, name)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { l.Close() })
	return l, path
}

// A terminal's master goes to the console socket, of a container and of a further process.
func TestConsoleSocket(t *testing.T) {
	w := newWorld(t)
	l, socket := w.listen("console")
	bundle := w.bundle("t", "tty; stty size; ls -l /dev/console; cat", func(s *specs.Spec) {
		s.Process.Terminal = true
		s.Process.ConsoleSize = &specs.Box{Height: 17, Width: 71}
	})
	w.refused(1, "without setting console socket", "create", "--bundle", bundle, "t")
	w.run("create", "--bundle", bundle, "--console-socket", socket, "t")
	master, name := receive(t, l)
	defer master.Close()
	if name != "/dev/ptmx" {
		t.Errorf("it is called %q", name)
	}
	w.run("start", "t")
	lines := bufio.NewScanner(master)
	for _, want := range []string{"/dev/pts/0", "17 71", "/dev/console"} {
		if lines.Scan(); !strings.Contains(lines.Text(), want) {
			t.Errorf("the terminal says %q, want %q", lines.Text(), want)
		}
	}
	if _, err := master.WriteString("hello\n"); err != nil {
		t.Error(err)
	}
	if lines.Scan(); strings.TrimSpace(lines.Text()) != "hello" { // its echo
		t.Errorf("it echoes %q", lines.Text())
	}

	w.run("exec", "--tty", "--detach", "--console-socket", socket, "t", "sh", "-c", "tty; echo said")
	further, _ := receive(t, l)
	defer further.Close()
	text, _ := io.ReadAll(further)
	if got := strings.Fields(string(text)); fmt.Sprint(got) != "[/dev/pts/1 said]" {
		t.Errorf("the further process's terminal says %q", text)
	}
	w.refused(1, "cannot use console socket", "create", "--bundle", w.bundle("n", "true"), "--console-socket", socket, "n")
}

// run in the foreground connects a terminal with its own standard input and output.
func TestForegroundTerminal(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("t", "tty; exit 3", func(s *specs.Spec) { s.Process.Terminal = true })
	r := w.try("run", "--bundle", bundle, "t")
	if r.code != 3 || strings.TrimSpace(r.out) != "/dev/pts/0" {
		t.Errorf("%+v", r)
	}
}

// Descriptors are handed on when it is said, and no others.
func TestDescriptors(t *testing.T) {
	w := newWorld(t)
	files := make([]*os.File, 3)
	for i := range files {
		path := filepath.Join(w.dir, "file"+strconv.Itoa(i))
		if err := os.WriteFile(path, []byte("content"+strconv.Itoa(i)), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	script := `ls /proc/self/fd | tr '\n' ' '; cat <&3 2>/dev/null; cat <&4 2>/dev/null; echo " $LISTEN_FDS $LISTEN_PID"`
	bundle := w.bundle("d", script)
	for _, test := range []struct {
		flags  []string
		listen string
		want   string
	}{
		{nil, "", "0 1 2 3"},
		{[]string{"--preserve-fds", "2"}, "", "0 1 2 3 4 5 content0content1"},
		{nil, "1", "0 1 2 3 4 content0 1 1"},
		{[]string{"--preserve-fds", "1"}, "1", "0 1 2 3 4 5 content0content1 1 1"},
	} {
		for _, f := range files {
			_, _ = f.Seek(0, 0)
		}
		cmd := w.command(append(append([]string{"run", "--bundle", bundle}, test.flags...), "d")...)
		cmd.ExtraFiles = files
		cmd.Env = append(cmd.Env, "LISTEN_FDS="+test.listen)
		r := w.finish(cmd)
		if got := strings.TrimSpace(r.out); r.code != 0 || strings.Join(strings.Fields(got), " ") != test.want {
			t.Errorf("%v with LISTEN_FDS=%s: %q, want %q (%s)", test.flags, test.listen, got, test.want, r.err)
		}
	}
	for _, count := range []string{"1", "2", "6"} { // the first ones are the Go runtime's own
		w.refused(1, "is to be preserved, and there is none", "run", "--bundle", bundle, "--preserve-fds", count, "d")
	}
	w.run("create", "--bundle", bundle, "d")
	w.refused(255, "is to be preserved, and there is none", "exec", "--preserve-fds", "1", "d", "true")
	cmd := w.command("run", "--bundle", bundle, "e")
	cmd.Env = append(cmd.Env, "LISTEN_FDS=1")
	if r := w.finish(cmd); r.code != 1 || !strings.Contains(r.err, "there is none") {
		t.Errorf("%+v", r)
	}
}

// A further process is what flags or a file make of the container's own.
func TestExec(t *testing.T) {
	w := newWorld(t)
	bundle := w.bundle("e", "sleep 1000", func(s *specs.Spec) { s.Process.Env = append(s.Process.Env, "OWN=1") })
	w.run("run", "--detach", "--bundle", bundle, "e")
	exec := func(args ...string) string {
		return strings.Join(strings.Fields(w.run(append([]string{"exec"}, args...)...)), " ")
	}
	if got := exec("e", "id", "-u"); got != "0" {
		t.Errorf("user %s", got)
	}
	if got := exec("--user", "1:2", "--additional-gids", "5", "e", "id"); got != "uid=1 gid=2 groups=5,2" && got != "uid=1 gid=2 groups=2,5" && !strings.Contains(got, "uid=1") {
		t.Errorf("as another: %s", got)
	}
	if got := exec("--cwd", "/tmp", "--env", "A=b", "--env", "OWN=2", "e", "sh", "-c", "pwd; echo $A $OWN"); got != "/tmp b 2" {
		t.Errorf("elsewhere: %s", got)
	}
	if got := exec("e", "sh", "-c", "ls /proc/self/fd | wc -l; cat /proc/self/cgroup | grep ^0: ; readlink /proc/self/exe"); got != "4 0::/ /bin/busybox" {
		t.Errorf("descriptors, cgroup, program: %s", got)
	}
	caps := func(args ...string) string {
		return exec(append(args, "e", "sh", "-c", "grep CapEff /proc/self/status")...)
	}
	if with, without := caps("--cap", "CAP_SYS_ADMIN"), caps(); with == without {
		t.Errorf("--cap changed nothing: %s", with)
	}
	for _, bad := range []string{"x", "1:x", "-1", "4294967296", "4294967295", "1:"} {
		w.refused(255, "", "exec", "--user", bad, "e", "true")
	}
	file := filepath.Join(w.dir, "process.json")
	w.write(file, specs.Process{Args: []string{"sh", "-c", "echo from $X; exit 9"}, Cwd: "/", Env: []string{"X=file", "PATH=/bin"}})
	if r := w.try("exec", "--process", file, "e"); r.code != 9 || strings.TrimSpace(r.out) != "from file" {
		t.Errorf("%+v", r)
	}
	pidFile := filepath.Join(w.dir, "pid")
	w.run("exec", "--detach", "--pid-file", pidFile, "e", "sleep", "999")
	if cmdline := w.read("/proc/" + w.read(pidFile) + "/cmdline"); !strings.HasPrefix(cmdline, "sleep\x00999") {
		t.Errorf("the detached process is %q", cmdline)
	}
	if got := strings.Count(w.run("ps", "--format", "json", "e"), ","); got != 1 {
		t.Errorf("%d processes", got+1)
	}
	w.run("kill", "--all", "e", "KILL")
	w.is("e", specs.StateStopped)
}

// A further process of a container whose processes may trace is born inside, with what it is to have.
func TestExecWherePeopleTrace(t *testing.T) {
	w := newWorld(t)
	all := []string{"CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_KILL"}
	bundle := w.bundle("p", "sleep 1000", func(s *specs.Spec) {
		s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
	})
	l, socket := w.listen("console")
	pidFile := filepath.Join(w.dir, "pid")
	w.run("run", "--detach", "--bundle", bundle, "p")
	if r := w.try("exec", "--pid-file", pidFile, "p", "sh", "-c", "echo $$; ls /proc/self/fd | wc -l; exit 8"); r.code != 8 || !strings.HasSuffix(strings.Join(strings.Fields(r.out), " "), " 4") {
		t.Errorf("%+v", r)
	}
	w.refused(255, "executable file not found in $PATH", "exec", "p", "nothing")
	w.run("exec", "--detach", "--tty", "--console-socket", socket, "--pid-file", pidFile, "p", "sh", "-c", "tty; sleep 1000")
	master, _ := receive(t, l)
	defer master.Close()
	if line, _ := bufio.NewReader(master).ReadString('\n'); !strings.HasPrefix(line, "/dev/pts/") {
		t.Errorf("its terminal says %q", line)
	}
	pid := w.read(pidFile)
	w.soon("the command", func() bool { return strings.HasPrefix(w.read("/proc/"+pid+"/cmdline"), "sleep\x001000") })
}

// A further process never executes the runtime's own file, whatever it names.
func TestExecOfItself(t *testing.T) {
	w := newWorld(t)
	w.run("run", "--detach", "--bundle", w.bundle("e", "sleep 1000"), "e")
	for _, args := range [][]string{{"exec", "e", "/proc/self/exe", "--version"}, {"run", "--bundle", w.bundle("s", "", func(s *specs.Spec) { s.Process.Args = []string{"/proc/self/exe", "--version"} }), "s"}} {
		if r := w.try(args...); r.code == 0 || strings.Contains(r.out, "reconciler") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

// A container with a user namespace: its superuser is nobody on the node, and so are its further processes.
func TestUserNamespace(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	w := newWorld(t)
	mine := func(s *specs.Spec) {
		maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 300000, Size: 65536}}
		s.Linux.UIDMappings, s.Linux.GIDMappings = maps, maps
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	}
	bundle := w.bundle("u", "id -u; cat /proc/self/uid_map; hostname; ip link show lo | grep -c UP; sleep 1000", mine)
	out := filepath.Join(w.dir, "out")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := w.command("run", "--detach", "--bundle", bundle, "u")
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Run(); err != nil {
		t.Fatal(err, w.read(out))
	}
	w.soon("said", func() bool { return strings.Join(strings.Fields(w.read(out)), " ") == "0 0 300000 65536 reconciler 1" })
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d", w.state("u").Pid), &st); err != nil || st.Uid != 300000 {
		t.Errorf("on the node it is user %d, %v", st.Uid, err)
	}
	if got := strings.Fields(w.run("exec", "u", "sh", "-c", "id -u; cat /proc/self/uid_map")); fmt.Sprint(got) != "[0 0 300000 65536]" {
		t.Errorf("a further process: %v", got)
	}
	// Another one joins what this one has.
	pid := w.state("u").Pid
	join := func(s *specs.Spec) {
		for i, n := range s.Linux.Namespaces {
			file := map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.PIDNamespace: "pid", specs.UTSNamespace: "uts"}[n.Type]
			if file != "" {
				s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", pid, file)
			}
		}
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: fmt.Sprintf("/proc/%d/ns/user", pid)})
	}
	got := w.run("run", "--bundle", w.bundle("j", "cat /proc/self/uid_map; for n in net pid uts; do readlink /proc/self/ns/$n; done; ps | grep -c 'sleep 1000'", join), "j")
	var want []string
	for _, kind := range []string{"net", "pid", "uts"} {
		text, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		want = append(want, text)
	}
	if fields := strings.Fields(got); len(fields) < 6 || fmt.Sprint(fields[3:6]) != fmt.Sprint(want) || fields[1] != "300000" {
		t.Errorf("one that joins is in %v, want %v", fields, want)
	}
}

// Parameters of namespaces that belong to a user namespace of the container are set, whoever the kernel lets: some ask for a user, some for a capability. A
// parameter of ids means the container's.
func TestSysctlsOfAUserNamespace(t *testing.T) {
	kerneltest.Require(t, feature.UserNamespaces)
	w := newWorld(t)
	got := w.run("run", "--bundle", w.bundle("s", "cd /proc/sys && cat kernel/msgmax fs/mqueue/msg_max net/ipv4/ip_forward net/ipv4/ping_group_range; touch /made && stat -c %u /made", func(s *specs.Spec) {
		maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 300000, Size: 65536}}
		s.Linux.UIDMappings, s.Linux.GIDMappings = maps, maps
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.Sysctl = map[string]string{"kernel.msgmax": "4567", "fs.mqueue.msg_max": "7", "net.ipv4.ip_forward": "1", "net.ipv4.ping_group_range": "0 1000"}
		s.Root.Readonly = false
		if err := os.Chown(filepath.Join(w.dir, "bundle-s", "rootfs"), 300000, 300000); err != nil {
			t.Fatal(err)
		}
	}), "s")
	if strings.Join(strings.Fields(got), " ") != "4567 7 1 0 1000 0" {
		t.Errorf("got %q", got)
	}
}

// Filters that notify: the listener goes to who decides, who then does.
func TestSeccompListener(t *testing.T) {
	kerneltest.Require(t, feature.SeccompNotify)
	w := newWorld(t)
	l, socket := w.listen("seccomp")
	bundle := w.bundle("n", "mkdir /tmp/x && echo made", func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, ListenerPath: socket, ListenerMetadata: "meta",
			Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActNotify}},
		}
	})
	for _, verb := range []string{"run", "create"} {
		done := make(chan result, 1)
		go func() { done <- w.try(verb, "--bundle", bundle, "n") }()
		listener, message := receive(t, l)
		if !strings.Contains(message, `"metadata":"meta"`) || !strings.Contains(message, `"id":"n"`) || !strings.Contains(message, "seccompFd") {
			t.Errorf("%s: the message is %s", verb, message)
		}
		if verb == "create" {
			if r := <-done; r.code != 0 {
				t.Fatalf("%+v", r)
			}
			w.run("start", "n")
			go func() { done <- result{} }()
		}
		request := make([]byte, 80) // struct seccomp_notif
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, listener.Fd(), 0xc0502100, addressOf(request)); errno != 0 {
			t.Fatalf("%s: receive: %v", verb, errno)
		}
		answer := make([]byte, 24) // struct seccomp_notif_resp: id, val, error, flags
		copy(answer, request[:8])
		copy(answer[16:], []byte{0xe4, 0xff, 0xff, 0xff}) // -ENOSPC
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, listener.Fd(), 0xc0182101, addressOf(answer)); errno != 0 {
			t.Fatalf("%s: answer: %v", verb, errno)
		}
		listener.Close()
		if r := <-done; verb == "run" && (r.code != 1 || !strings.Contains(r.err, "No space left on device")) {
			t.Errorf("%+v", r)
		}
		w.run("delete", "--force", "n")
	}
}

// The service manager is told when the container says that it is ready.
func TestNotifySocket(t *testing.T) {
	w := newWorld(t)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(w.dir, "manager"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	bundle := w.bundle("n", `test "$NOTIFY_SOCKET" = /run/notify/notify.sock && sleep 0.05 && ls -l $NOTIFY_SOCKET; sleep 1000`)
	cmd := w.command("create", "--bundle", bundle, "n")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+filepath.Join(w.dir, "manager"))
	if r := w.finish(cmd); r.code != 0 {
		t.Fatal(r)
	}
	start := w.command("start", "n")
	start.Env = append(start.Env, "NOTIFY_SOCKET="+filepath.Join(w.dir, "manager"))
	if err := start.Start(); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(w.root, "n/notify/notify.sock")
	w.soon("listening", func() bool {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: inside, Net: "unixgram"})
		if err != nil {
			return false
		}
		defer conn.Close()
		_, err = conn.Write([]byte("STATUS=hello\nREADY=1\n"))
		return err == nil
	})
	buffer := make([]byte, 256)
	_ = manager.SetReadDeadline(time.Now().Add(patience))
	n, err := manager.Read(buffer)
	if want := fmt.Sprintf("READY=1\nMAINPID=%d\n", w.state("n").Pid); err != nil || string(buffer[:n]) != want {
		t.Errorf("the manager got %q, %v; want %q", buffer[:n], err, want)
	}
	if err := start.Wait(); err != nil {
		t.Error(err)
	}
}

// The limits of a container change, one by one, and all or none.
func TestUpdate(t *testing.T) {
	kerneltest.Require(t, feature.Memory, feature.Pids)
	w := newWorld(t)
	w.run("run", "--detach", "--bundle", w.bundle("u", "sleep 1000", func(s *specs.Spec) {
		limit := int64(64 << 20)
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	}), "u")
	shown := func() string { return w.run("events", "--stats", "u") }
	w.run("update", "--pids-limit", "30", "u")
	if got := shown(); !strings.Contains(got, `"limit":67108864`) || !strings.Contains(got, `"limit":30`) {
		t.Errorf("after one: %s", got)
	}
	w.run("update", "--memory", "32M", "u")
	if got := shown(); !strings.Contains(got, `"limit":33554432`) || !strings.Contains(got, `"limit":30`) {
		t.Errorf("after two: %s", got)
	}
	w.refused(1, "", "update", "--cpuset-cpus", "4000", "--pids-limit", "40", "u")
	if got := shown(); !strings.Contains(got, `"limit":30`) {
		t.Errorf("after a bad one: %s", got)
	}
	cmd := w.command("update", "--resources", "-", "u")
	cmd.Stdin = strings.NewReader(`{"pids": {"limit": 50}}`)
	if r := w.finish(cmd); r.code != 0 || !strings.Contains(shown(), `"limit":50`) || !strings.Contains(shown(), `"limit":33554432`) {
		t.Errorf("%+v: %s", r, shown())
	}
}

// Events tell of kills, one by one, until the container has stopped.
func TestEventsOfKills(t *testing.T) {
	kerneltest.Require(t, feature.Memory)
	w := newWorld(t)
	until := func(file string) string { return "while [ ! -e /" + file + " ]; do sleep 0.01; done; " }
	bundle := w.bundle("k", until("go")+"tail /dev/zero; "+until("done"), func(s *specs.Spec) {
		limit := int64(16 << 20)
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
		s.Root.Readonly = false
	})
	w.run("run", "--detach", "--bundle", bundle, "k")
	events := w.command("events", "--interval", "100ms", "k")
	out, err := events.StdoutPipe()
	if err == nil {
		err = events.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(patience, func() { _ = events.Process.Kill() })
	defer guard.Stop()
	touch := func(file string) {
		if err := os.WriteFile(filepath.Join(bundle, "rootfs", file), nil, 0o644); err != nil {
			t.Error(err)
		}
	}
	kills, stats := 0, 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == `{"type":"oom","id":"k"}`:
			kills++
			touch("done")
		case strings.Contains(line, `"type":"stats"`):
			if stats++; stats == 1 {
				touch("go")
			}
		default:
			t.Errorf("it says %s", line)
		}
	}
	if err := events.Wait(); err != nil || kills != 1 || stats == 0 {
		t.Errorf("%d kills, %d times statistics, %v", kills, stats, err)
	}
}
