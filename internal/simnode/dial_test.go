package simnode_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What a test says of a name is what a probe of it finds, in the time of a bubble.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := simnode.New()
		n := machine.Attach(nil, func() {})
		c := spec.Container{Metadata: spec.Metadata{Name: "web"}, Spec: spec.ContainerSpec{Command: []string{"/bin/sh", "-c", "httpd -p 80; exec sleep 1000"}}}
		if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); err != nil {
			t.Fatal(err)
		}
		if err := n.Start(t.Context(), "web", 1); err != nil {
			t.Fatal(err)
		}
		means := probe.Means{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return n.Dial(ctx, "web", 1, network, address)
		}}
		ask := func(port int) string {
			began := time.Now()
			err := probe.Check(t.Context(), spec.Probe{HTTP: &spec.HTTPProbe{Port: port}}, means)
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %s", took)
			}
			if err == nil {
				return ""
			}
			return err.Error()
		}
		const refused = "cannot connect to 127.0.0.1:81: connection refused"
		if got := ask(80) + ask(81); got != refused {
			t.Errorf("nothing said: %q", got)
		}
		for _, c := range []struct {
			answer simnode.Answer
			says   string
		}{
			{simnode.Healthy, ""}, {simnode.Failing, "HTTP status 503 Service Unavailable"}, {simnode.Hanging, "no answer within 1s"}, {simnode.Refusing, refused},
		} {
			machine.Answer("web", c.answer)
			if got := ask(81); got != c.says {
				t.Errorf("got %q, want %q", got, c.says)
			}
		}
		machine.Wipe("web")
		synctest.Wait()
	})
}
