package linux_test

import (
	"errors"
	"io/fs"
	"strings"
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

	frugal := n.container("web", `(: > /dev/null) && echo null; (: < /dev/zero) 2>&- || echo no zero; stat -c %t:%T /dev/zero /dev/mine`)
	frugal.Spec.Devices = []spec.Device{{Path: "/dev/mine", Source: "/dev/loop-control"}}
	frugal.Spec.DeviceRules = []spec.DeviceRule{{Allow: true, Type: "c", Major: spec.NewNumber(1), Minor: spec.NewNumber(3), Access: "rw"}}
	if got, want := n.say(t, frugal), "null\nno zero\n1:5\na:ed\n"; got != want {
		t.Errorf("with rules that let it make nothing: %q, want %q", got, want)
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

// A device of the manifest has a node of its own inside, with owner and mode as said, and may be used; a pipe is one too.
func TestDeviceNodes(t *testing.T) {
	kerneltest.Require(t, feature.DevicePrograms)
	n := open(t)
	c := n.container("web", `stat -c '%F %t:%T %a %u:%g' /dev/mine /dev/deep/loop /dev/pipe
(: < /dev/mine) && echo read; (: > /dev/mine) 2>&- || echo not written; (: < /dev/deep/loop) && echo opened; mknod /dev/other c 10 237 2>&- || echo not made`)
	c.Spec.Devices = []spec.Device{
		{Path: "/dev/mine", Source: "/dev/loop-control", Access: "r"},
		{Path: "/dev/deep/loop", Type: spec.DeviceChar, Major: spec.NewNumber(1), Minor: spec.NewNumber(5), Mode: "0640", UID: spec.NewNumber(7), GID: spec.NewNumber(0)},
		{Path: "/dev/pipe", Type: spec.DevicePipe, Mode: "0600"},
	}
	c.Spec.Security.Capabilities.Add = []string{"DAC_OVERRIDE"}
	want := "character special file a:ed 600 0:0\ncharacter special file 1:5 640 7:0\nfifo 0:0 600 0:0\nread\nnot written\nopened\nnot made\n"
	if got := n.say(t, c); got != want {
		t.Errorf("inside:\n%s\nwant:\n%s", got, want)
	}
	c.Spec.Devices = []spec.Device{{Path: "/dev/nosuch"}}
	if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/dev/nosuch") {
		t.Errorf("a device the node has not got: %v", err)
	}
}
