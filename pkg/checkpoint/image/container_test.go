package image_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
)

func TestMain(m *testing.M) {
	if root := os.Getenv("IMAGE_TEST_ROOT"); root != "" {
		fmt.Fprintln(os.Stderr, victim(root))
		os.Exit(1)
	}
	kerneltest.Main(m)
}

// bounding is what the containers of these tests may do: CAP_CHOWN to CAP_KILL.
const bounding = 1<<6 - 1

// allowAll is a seccomp filter of one instruction: BPF_RET of SECCOMP_RET_ALLOW.
var allowAll = []byte{0x06, 0, 0, 0, 0, 0, 0xff, 0x7f}

// victim becomes a container: a tree of busybox's processes with mounts of its own, few capabilities, no_new_privs and a filter.
func victim(dir string) error {
	runtime.LockOSThread()
	script := `
		mount --make-rprivate / && mount -t tmpfs tmpfs $D && cd $D && mkdir -p lower/bin lower/proc lower/dev lower/tmp upper work root &&
		cp $B lower/bin/busybox && mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay root &&
		mount -t proc proc root/proc && mount --bind root/proc/irq root/proc/irq && mount -o remount,bind,ro root/proc/irq &&
		mount -t tmpfs -o size=64k tmpfs root/dev && mknod root/dev/null c 1 3 && mkdir root/dev/shm && mount -t tmpfs -o size=64k tmpfs root/dev/shm`
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	setup := exec.Command("sh", "-c", script)
	setup.Env = append(os.Environ(), "D="+dir, "B="+busybox)
	if out, err := setup.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := errors.Join(os.Chdir(dir+"/root"), unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), os.Chdir("/")); err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	for fd := range 3 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return err
		}
	}
	if err := confine(); err != nil {
		return err
	}
	return unix.Exec("/bin/busybox", []string{"busybox", "sh", "-c", "sleep 1000 | sleep 1001 & sleep 1002 & wait"}, nil)
}

// confine takes from the thread what the containers of these tests do not have.
func confine() error {
	for c := range uintptr(64) {
		if bounding>>c&1 == 0 {
			_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: bounding, Permitted: bounding}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	// What the caller of these tests left open is none of the container's.
	if err := unix.CloseRange(3, 1<<20, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	return filter()
}

// policy is what such a container is.
func policy() image.Policy {
	return image.Policy{
		Own: []string{"pid", "net", "ipc", "uts"},
		Mounts: []image.Mount{
			{Point: "/proc", Type: "proc"},
			{Point: "/proc/irq", Type: "proc", Root: "/irq", Flags: unix.MS_RDONLY},
			{Point: "/dev", Key: "m/dev"},
			{Point: "/dev/shm", Key: "m/dev/shm"},
		},
		Bounding: bounding, NoNewPrivs: true, Seccomp: true, Filter: allowAll, Tasks: 4,
	}
}

// dump starts such a container and lets criu dump it. The result is a directory of criu's images.
func dump(t testing.TB) (dir string) {
	t.Helper()
	proof := kerneltest.Criu(t)
	root := t.TempDir()
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), "IMAGE_TEST_ROOT="+root)
	var said strings.Builder
	c.Stderr = &said
	c.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS, Pdeathsig: unix.SIGKILL, Setsid: true,
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	awaitTree(t, c.Process.Pid, &said)
	var net unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", c.Process.Pid), &net); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	argv := []string{
		proof.Tool.Path, "dump", "-t", fmt.Sprint(c.Process.Pid), "-D", dir, "-v2", "-o", "dump.log", "--manage-cgroups=ignore", "--leave-running",
		"--network-lock", string(proof.Lock),
		"--external", fmt.Sprintf("net[%d]:extnet", net.Ino), "--external", "mnt[/dev]:m/dev", "--external", "mnt[/dev/shm]:m/dev/shm",
	}
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "dump.log"))
		t.Fatalf("criu: %v\n%s\n%s", err, out, log)
	}
	for _, name := range []string{"dump.log", "stats-dump"} {
		_ = os.Remove(filepath.Join(dir, name))
	}
	return dir
}

// awaitTree waits until the processes of a container are there.
func awaitTree(t testing.TB, pid int, said *strings.Builder) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		n := 0
		for child := range strings.FieldsSeq(string(children)) {
			if comm, _ := os.ReadFile("/proc/" + child + "/comm"); strings.TrimSpace(string(comm)) == "sleep" {
				n++
			}
		}
		if n == 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the container did not start: %s%s", children, said.String())
		}
	}
}
