package linux_test

import (
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// confined lets everything pass but one file.
const confined = "profile reconciler-node-test flags=(attach_disconnected,mediate_deleted) {\n  file,\n  capability,\n  network,\n  signal,\n  ptrace,\n  deny /etc/marker rw,\n}\n"

// A profile confines the command, what an init starts, and what is executed in the container later; with a user namespace too. A container without
// a profile is under none.
func TestAppArmorProfile(t *testing.T) {
	kerneltest.Root(t)
	kerneltest.Require(t, feature.AppArmor)
	parser, err := exec.LookPath("apparmor_parser")
	if err != nil {
		t.Skip("skip: needs apparmor_parser: apt-get install apparmor")
	}
	load := func(flag string) {
		cmd := exec.Command(parser, flag)
		cmd.Stdin = strings.NewReader(confined)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	load("--replace")
	defer load("--remove")
	const look = `cat /proc/self/attr/apparmor/current; (cat /etc/marker) 2>/dev/null || echo denied; cat /etc/hostname >/dev/null && echo up`
	n := open(t)
	for name, said := range map[string]string{
		"plain": "", "init": "  init: true\n", "users": "  namespaces: {user: {mode: Auto}}\n", "new-privileges": "  user: web\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := n.said(t, name, look+"; sleep 1000; true", said+"  security: {apparmor: reconciler-node-test, allowNewPrivileges: "+map[bool]string{true: "true", false: "false"}[name == "new-privileges"]+"}")
			n.run(t, c, 1)
			n.hear(t, name, "up")
			const want = "reconciler-node-test (enforce)\ndenied\nup\n"
			if got := n.output(t, name); got != want {
				t.Errorf("the command says %q", got)
			}
			if got, exit := n.inside(t, name, command(look), ""); got != want || exit.Code != 0 {
				t.Errorf("an exec says %q, %+v", got, exit)
			}
		})
	}
	if got := n.say(t, n.container("none", look)); got != "unconfined\nrootfs\nup\n" {
		t.Errorf("without a profile: %q", got)
	}
	absent := n.container("absent", look)
	absent.Spec.Security.AppArmor = "reconciler-absent"
	if err := n.Create(t.Context(), absent, 1, spec.DefaultsVersion); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "hint: load it") {
		t.Errorf("a profile that is not loaded: %v", err)
	}
}
