package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// An image from which every run ends at once is not restored for ever: the container begins from its command, and says why.
func TestPoisonedImage(t *testing.T) {
	kerneltest.Criu(t)
	n := newNode(t)
	if err := os.Mkdir(n.path("data"), 0o755); err != nil {
		t.Fatal(err)
	}
	const script = `rm -f /data/poison; echo begins; while :; do if [ -e /data/poison ]; then echo ends; exit 3; fi; sleep 0.02; done`
	n.put("web.yaml", strings.ReplaceAll(manifest("web", script,
		"  mounts: [{type: bind, source: DATA, destination: /data}]\n  checkpoint: {onCrash: Restore}\n  restart: {policy: Always, backoff: {initial: 100ms, max: 200ms}}\n"), "DATA", n.path("data")))
	n.start()
	n.phase("web", spec.PhaseRunning)
	n.eventually("it begins", func() error {
		if !strings.Contains(n.logs("web"), "begins") {
			return errors.New("it has not")
		}
		return nil
	})
	if out, err := n.cli("checkpoint", "web"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(n.path("data/poison"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.eventually("it begins from its command again", func() error {
		object, err := n.get("web")
		for _, c := range object.Status.Conditions {
			if c.Type == spec.ConditionRestored && c.Reason == "ColdStart" && object.Status.Phase == spec.PhaseRunning {
				if !strings.Contains(c.Message, "ended within") {
					t.Errorf("the reason: %q", c.Message)
				}
				return err
			}
		}
		return fmt.Errorf("%+v, %v", object.Status, err)
	})
	n.eventually("what it says", func() error {
		if text := n.logs("web"); strings.Count(text, "begins") != 2 || strings.Count(text, "ends") != 4 {
			return fmt.Errorf("it has said %q", text)
		}
		return nil
	})
	n.isWhole("after a poisoned image", "web")
}
