package linux_test

import (
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A container that may make nodes still cannot open the node's disks or memory with them; what its manifest allows, it can, and a change of
// the rules is a change in place.
func TestDevicesOfAContainer(t *testing.T) {
	kerneltest.Require(t, feature.DevicePrograms)
	n := open(t)
	const open = `for d in "c 1 3" "c 1 5" "c 10 237"; do
	rm -f /dev/try; mknod /dev/try $d && (: < /dev/try) 2>&- && echo -n "$d, "
done; (: < /dev/ptmx) && (: > /dev/null) && echo ok`
	said := func(change func(*spec.ContainerSpec)) string {
		c := n.container("web", open)
		c.Spec.Security.Capabilities.Add = []string{"MKNOD"}
		change(&c.Spec)
		return n.say(t, c)
	}
	if got, want := said(func(*spec.ContainerSpec) {}), "c 1 3, c 1 5, ok\n"; got != want {
		t.Errorf("by default it opens %q, want %q", got, want)
	}
	if got, want := said(func(s *spec.ContainerSpec) {
		s.DeviceRules = []spec.DeviceRule{{}, {Allow: true, Type: "c", Major: spec.NewNumber(1)}, {Allow: true, Type: "c", Access: "m"}, {Allow: true, Type: "c", Major: spec.NewNumber(5)}, {Allow: true, Type: "c", Major: spec.NewNumber(10), Minor: spec.NewNumber(237)}}
	}), "c 1 3, c 1 5, c 10 237, ok\n"; got != want {
		t.Errorf("by its own rules it opens %q, want %q", got, want)
	}

	c := n.container("web", "while :; do (: < /dev/zero) 2>&- && echo yes || echo no; sleep 0.01; done")
	n.run(t, c, 1)
	n.hear(t, "web", "yes\n")
	pid := n.look(t, "web", 1).Pid
	c.Spec.DeviceRules = []spec.DeviceRule{{}, {Allow: true, Type: "c", Major: spec.NewNumber(1), Minor: spec.NewNumber(3)}}
	must(t, n.Update(t.Context(), c, 1))
	n.hear(t, "web", "no\n")
	if got := n.look(t, "web", 1); got.Pid != pid {
		t.Errorf("pid %d, was %d", got.Pid, pid)
	}
}
