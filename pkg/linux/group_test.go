package linux_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// group makes the containers of a group.
func (n *node) containers(group string, scripts map[string]string) []spec.Container {
	g := spec.Group{APIVersion: spec.APIVersion, Kind: spec.KindGroup, Metadata: spec.Metadata{Name: group}}
	g.Spec.Containers = map[string]spec.ContainerSpec{}
	for name, script := range scripts {
		g.Spec.Containers[name] = n.container(name, script).Spec
	}
	return g.Expand()
}

// The containers of a group share network, ipc and uts namespaces, and nothing else. The namespaces end with the last of them.
func TestGroupShares(t *testing.T) {
	n := open(t)
	all := n.containers("shop", map[string]string{"a": forever, "b": forever})
	found := map[string]map[string]uint64{}
	for _, c := range all {
		must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
		found[c.Metadata.Name] = n.running(t, c.Metadata.Name, 1)
	}
	for kind, inode := range found["shop-a"] {
		shared := kind == "net" || kind == "ipc" || kind == "uts" || kind == "user" || kind == "time"
		if (inode == found["shop-b"][kind]) != shared {
			t.Errorf("sharing the %s namespace is %v", kind, !shared)
		}
	}
	alone := n.container("shop", forever) // a container of the group's name has its own
	must(t, n.Create(t.Context(), alone, 1, spec.DefaultsVersion))
	if got := n.running(t, "shop", 1); got["net"] == found["shop-a"]["net"] {
		t.Error("a container of the group's name is in the group")
	}
	must(t, n.Destroy(t.Context(), "shop-a", 1, false))
	must(t, n.Destroy(t.Context(), "shop", 1, false))
	must(t, n.Kill(t.Context(), "shop-b", 1, "SIGKILL"))
	n.await(t, "shop-b", 1, exited)
	if again := n.running(t, "shop-b", 1); again["net"] != found["shop-b"]["net"] {
		t.Error("the group's network went with one of its containers")
	}
	net, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", n.look(t, "shop-b", 1).Pid))
	must(t, err)
	defer net.Close()
	id, err := namespace.Of(net)
	must(t, err)
	must(t, n.Destroy(t.Context(), "shop-b", 1, false))
	must(t, n.Create(t.Context(), all[0], 2, spec.DefaultsVersion))
	if now := n.running(t, "shop-a", 2); now["net"] == id.Ino {
		t.Error("the group's network outlived its last container")
	}
}

// Freezing one container of a group freezes all of it, and thawing one thaws all; one that has ended is passed over.
func TestGroupFreezes(t *testing.T) {
	n := open(t)
	for _, c := range n.containers("shop", map[string]string{"a": forever, "b": forever, "ended": "true", "stubborn": stubborn}) {
		n.run(t, c, 1)
	}
	other := n.container("shop-other", forever)
	n.run(t, other, 1)
	n.await(t, "shop-ended", 1, exited)
	phases := func() string {
		var all []string
		for _, name := range []string{"shop-a", "shop-b", "shop-other"} {
			all = append(all, string(n.look(t, name, 1).Phase))
		}
		return strings.Join(all, " ")
	}
	must(t, n.Pause(t.Context(), "shop-b", 1))
	if got := phases(); got != "Paused Paused Running" {
		t.Errorf("paused: %s", got)
	}
	must(t, n.Pause(t.Context(), "shop-a", 1))
	must(t, n.Resume(t.Context(), "shop-a", 1))
	if got := phases(); got != "Running Running Running" {
		t.Errorf("resumed: %s", got)
	}
	// One that is to end is let go of alone, and not frozen in its last moments.
	must(t, n.Pause(t.Context(), "shop-a", 1))
	must(t, n.Stop(t.Context(), "shop-stubborn", 1, "SIGTERM", patience))
	if got := phases() + " " + string(n.look(t, "shop-stubborn", 1).Phase); got != "Paused Paused Running Running" {
		t.Errorf("stopped one: %s", got)
	}
	must(t, n.Pause(t.Context(), "shop-b", 1))
	if got := n.look(t, "shop-stubborn", 1).Phase; got != spec.InstanceRunning {
		t.Errorf("the one that stops is %s", got)
	}
}

// Containers of a group talk over localhost.
func TestGroupTalks(t *testing.T) {
	n := open(t)
	all := n.containers("shop", map[string]string{
		"client": `until wget -qO- http://127.0.0.1:8080/hostname; do sleep 0.05; done 2>/dev/null; hostname`,
		"server": `exec httpd -f -p 127.0.0.1:8080 -h /etc`,
	})
	for _, c := range all {
		n.run(t, c, 1)
	}
	n.await(t, "shop-client", 1, exited)
	if got := strings.TrimSpace(n.output(t, "shop-client")); got != "shop\nshop" {
		t.Errorf("the client says %q", got)
	}
}

// The containers of a group find each other though all start at once.
func TestGroupStartsAtOnce(t *testing.T) {
	n := open(t)
	scripts := map[string]string{}
	for i := range 8 {
		scripts[fmt.Sprint(i)] = forever
	}
	all := n.containers("shop", scripts)
	var work sync.WaitGroup
	for _, c := range all {
		work.Go(func() {
			if err := n.Create(t.Context(), c, 1, spec.DefaultsVersion); err != nil {
				t.Error(err)
			} else if err := n.Start(t.Context(), c.Metadata.Name, 1); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	networks := map[uint64]bool{}
	for _, c := range all {
		networks[n.running(t, c.Metadata.Name, 1)["net"]] = true
	}
	if len(networks) != 1 {
		t.Errorf("the group has %d network namespaces", len(networks))
	}
}
