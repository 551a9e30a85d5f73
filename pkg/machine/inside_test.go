package machine_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// While nobody is connected criu is in the container's network, once it knows the kernel: the image has nothing of it, and who listened listens again.
func TestInside(t *testing.T) {
	n := open(t)
	n.run(n.container("web", "cd /etc; echo here >/etc/page; httpd -p 80 -h /etc; while :; do sleep 0.02; i=$((i+1)); echo $i; done"))
	fetch := func() string {
		said, _, err := n.sh("web", "wget -q -O - http://127.0.0.1/page")
		must(t, err)
		return strings.TrimSpace(said)
	}
	n.until("a page", func() bool { return fetch() == "here" })
	var last spec.Image
	for i := range 2 {
		img, err := n.Checkpoint(t.Context(), "web", 1, spec.CheckpointOptions{})
		must(t, err)
		networks, err := filepath.Glob(n.path("state", "checkpoints", "web", img.ID, "checkpoint", "netns-*.img"))
		must(t, err)
		if inside := len(networks) == 0; inside != (i > 0) {
			t.Errorf("image %d has networks %v", i, networks)
		}
		last = img
	}
	if page := fetch(); page != "here" {
		t.Errorf("after the images: %q", page)
	}
	before, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(n.look("web").Pid), "ns/net"))
	must(t, err)
	must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
	n.until("the end", func() bool { return n.look("web").Phase == spec.InstanceExited })
	must(t, n.Restore(t.Context(), "web", 1, last.Ref()))
	if page := fetch(); page != "here" {
		t.Errorf("restored: %q", page)
	}
	if after, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(n.look("web").Pid), "ns/net")); err != nil || after != before {
		t.Errorf("its network is %s, %v, not %s", after, err, before)
	}
	// And images can be taken of what was restored so.
	_, err = n.Checkpoint(t.Context(), "web", 1, spec.CheckpointOptions{Stop: true})
	must(t, err)
}
