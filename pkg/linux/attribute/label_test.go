package attribute_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// profile lets everything pass: what counts is its name.
const profile = "profile reconciler-test flags=(attach_disconnected) {\n  file,\n  capability,\n  network,\n  signal,\n  ptrace,\n  mount,\n}\n"

// The command runs under the profile that is said; one that is not loaded is said before anything is made, or by the kernel.
func TestAppArmor(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, feature.AppArmor)
	under := func(name string) (string, error) {
		plan := newPlan(t, `cat /proc/self/attr/apparmor/current 2>/dev/null || cat /proc/self/attr/current`)
		if err := plan.Say(spec.ContainerSpec{Security: spec.Security{AppArmor: name}}, all); err != nil {
			return "", err
		}
		return run(t, program(plan))
	}
	if got, err := under("unconfined"); err != nil || strings.TrimSpace(got) != "unconfined" {
		t.Errorf("unconfined: got %q, %v", got, err)
	}
	if got, err := under("reconciler-absent"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "reconciler-absent") {
		t.Errorf("a profile that is not loaded: got %q, %v", got, err)
	}
	parser, err := exec.LookPath("apparmor_parser")
	if err != nil {
		t.Log("no apparmor_parser: only unconfined was tried")
		return
	}
	load := func(flag string) {
		cmd := exec.Command(parser, flag)
		cmd.Stdin = strings.NewReader(profile)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	load("--replace")
	defer load("--remove")
	if got, err := under("reconciler-test"); err != nil || strings.TrimSpace(got) != "reconciler-test (enforce)" {
		t.Errorf("got %q, %v", got, err)
	}
}

// The command has the label that is said, and its keys as well.
func TestSELinux(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, feature.SELinux)
	now, err := os.ReadFile("/proc/self/attr/current")
	if err != nil {
		t.Fatal(err)
	}
	label := strings.TrimRight(string(now), "\x00\n") // one that the policy lets this process have
	plan := newPlan(t, `cat /proc/self/attr/current`)
	if err := plan.Say(spec.ContainerSpec{Security: spec.Security{SELinux: spec.SELinux{Label: label}}}, all); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimRight(start(t, plan), "\x00\n"); got != label {
		t.Errorf("got %q, want %q", got, label)
	}
}

// Labels are written through the private proc, each before what heeds it: the label of keys before the keyring is made.
func TestLabelOps(t *testing.T) {
	p := program(attribute.Plan{
		Argv: []string{"x"}, Paths: []string{"/x"},
		Labels: []attribute.Label{{Step: "set SELinux label", File: "self/attr/exec", Text: "a:b:c", Name: "a:b:c"}, {Step: "set SELinux label of keys", File: "self/attr/keycreate", Text: "a:b:c", Name: "a:b:c"}},
	})
	var steps []string
	for _, op := range p.Ops {
		if strings.Contains(op.Step, "label") || strings.Contains(op.Step, "session keyring") {
			steps = append(steps, strings.TrimSpace(op.Step+" "+op.Path))
		}
	}
	want := []string{
		"set SELinux label self/attr/exec", "set SELinux label to a:b:c a:b:c",
		"set SELinux label of keys self/attr/keycreate", "set SELinux label of keys to a:b:c a:b:c", "join new session keyring",
	}
	if strings.Join(steps, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(steps, "\n"))
	}
}

// The keeper's session keyring is seen by whom a manifest lets see it, and by nobody else.
func TestKeyring(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.InSubprocess(t, func(t *testing.T) {
		runtime.LockOSThread()
		ring, err := unix.KeyctlJoinSessionKeyring("inherited")
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("skip: needs keyrings")
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.KeyctlSetperm(ring, 0x3f000000); err != nil {
			t.Fatal(err)
		}
		for keyring, want := range map[spec.Keyring]string{"": "0", spec.KeyringNew: "0", spec.KeyringInherit: "1"} {
			plan := newPlan(t, `grep -c inherited /proc/keys; exit 0`)
			if err := plan.Say(spec.ContainerSpec{Security: spec.Security{Keyring: keyring}}, all); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(start(t, plan)); got != want {
				t.Errorf("%q: %s such keyrings, want %s", keyring, got, want)
			}
		}
	})
}

// The parameters of a user namespace are those of the one the process is in, not the node's.
func TestUserSysctls(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, feature.UserNamespaces)
	const file = "/proc/sys/user/max_mnt_namespaces"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	users := userNamespace(t)
	plan := newPlan(t, "cat "+file)
	plan.Seccomp = seccomp.Plan{}
	said := spec.ContainerSpec{
		Namespaces: spec.Namespaces{User: spec.UserNamespace{Mode: spec.UserAuto}}, Sysctls: map[string]string{"user.max_mnt_namespaces": "7", "net.ipv4.ip_forward": "1"},
	}
	if plan.Sysctls, err = attribute.NewSysctls(said); err != nil {
		t.Fatal(err)
	}
	p := &process.Program{}
	attribute.Late(p, plan, func(p *process.Program) {
		p.Call("join user namespace", "", unix.SYS_SETNS, p.File("user"), process.Int(unix.CLONE_NEWUSER))
	})
	if got, err := runWith(t, p, map[string]*os.File{"user": users}); err != nil || got != "7\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the node's was %s and is %s, %v", before, after, err)
	}
}

// userNamespace is a user namespace in which every id is itself.
func userNamespace(t *testing.T) *os.File {
	t.Helper()
	cmd := exec.Command("/bin/busybox", "cat")
	itself := []syscall.SysProcIDMap{{Size: 1 << 16}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: itself, GidMappings: itself, GidMappingsEnableSetgroups: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = in.Close(), cmd.Wait() })
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// What a command without labels of its own has is this process's, as an image says it: without a mode, and nothing for unconfined.
func TestLabelOf(t *testing.T) {
	own, err := os.ReadFile("/proc/self/attr/current")
	if err != nil {
		own = nil
	}
	want, _, _ := strings.Cut(strings.Trim(string(own), "\x00\n"), " ")
	for _, test := range []struct {
		labels []attribute.Label
		want   string
	}{
		{nil, strings.TrimPrefix(want, "unconfined")},
		{[]attribute.Label{{Name: "unconfined"}}, ""},
		{[]attribute.Label{{Name: "docker-default"}}, "docker-default"},
		{[]attribute.Label{{Name: "system_u:system_r:container_t:s0:c1,c2"}, {Name: "another"}}, "system_u:system_r:container_t:s0:c1,c2"},
	} {
		if got := attribute.LabelOf(test.labels); got != test.want {
			t.Errorf("%v: %q, not %q", test.labels, got, test.want)
		}
	}
}
