package machine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What a container has written and nobody has read yet when it is saved comes once.
func TestUnreadOutput(t *testing.T) {
	n := open(t)
	c := n.container("web", `i=0; while :; do i=$((i+1)); echo $i; done`)
	c.Spec.Logs.MaxSize = 1 << 30
	n.run(c)
	for range sample(5, 100) {
		at := len(n.output("web"))
		n.until("more", func() bool { return len(n.output("web")) > at+1000 })
		// The keeper reads nothing for a moment, so that there is something.
		var img spec.Image
		_, err := n.meddle(0, func(int) {
			keeper := n.keeperPid()
			must(t, unix.Kill(keeper, unix.SIGSTOP))
			time.AfterFunc(200*time.Millisecond, func() { _ = unix.Kill(keeper, unix.SIGCONT) })
		}, func() (err error) {
			img, err = n.take("web", true)
			return err
		})
		must(t, err)
		n.until("the end", func() bool { return n.look("web").Phase == spec.InstanceExited })
		must(t, n.Restore(t.Context(), "web", 1, img.Ref()))
	}
	n.end("web")
	want := 0
	for line := range strings.Lines(n.output("web")) {
		if want++; line != fmt.Sprintf("%d\n", want) {
			t.Fatalf("after %d comes %q", want-1, line)
		}
	}
	t.Logf("%d lines", want)
}
