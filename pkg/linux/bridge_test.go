package linux_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ownNetwork runs the test where its bridges are not the machine's.
func ownNetwork(t *testing.T, test func(t *testing.T)) {
	kerneltest.Require(t, feature.Bridge, feature.Nftables)
	kerneltest.OwnNetwork(t, network.LoopbackUp, test)
}

// Containers on a bridge have addresses, reach each other by them, are reached from the node at published ports, which change in place, and leave
// nothing behind.
func TestBridge(t *testing.T) {
	ownNetwork(t, func(t *testing.T) {
		n := open(t)
		web := n.container("web", `exec httpd -f -p 80 -h /etc`)
		web.Spec.Network = spec.Network{Mode: spec.NetworkBridge, Ports: []spec.Port{{Host: 18080, Container: 80}}}
		n.run(t, web, 1)
		fetch := func(address string) error {
			deadline := time.Now().Add(patience)
			for {
				c, err := net.DialTimeout("tcp", address, time.Second)
				if err == nil {
					defer c.Close()
					fmt.Fprint(c, "GET /hostname HTTP/1.0\r\n\r\n")
					text := make([]byte, 4096)
					k, _ := c.Read(text)
					if strings.Contains(string(text[:k]), "200 OK") {
						return nil
					}
				}
				if time.Now().After(deadline) {
					return fmt.Errorf("%s never answered: %v", address, err)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		must(t, fetch("127.0.0.1:18080"))
		client := n.container("client", `ip -o -4 addr show eth0 | grep -o 'inet [0-9./]*'; ip route | grep -c default; hostname; grep -c client /etc/hosts; wget -qO- http://$WEB/hostname`)
		client.Spec.Network = spec.Network{Mode: spec.NetworkBridge}
		address, _ := n.inside(t, "web", command(`ip -o -4 addr show eth0 | grep -o 'inet [0-9.]*' | cut -c6-`), "")
		client.Spec.Env = map[string]string{"WEB": strings.TrimSpace(address)}
		got := n.say(t, client)
		if lines := strings.Fields(got); len(lines) < 5 || lines[0] != "inet" || lines[2] != "1" || lines[3] != "client" || lines[4] != "1" || !strings.Contains(got, "web") {
			t.Errorf("the client says %q", got)
		}

		// Another port, in place.
		web.Spec.Network.Ports = []spec.Port{{Host: 18081, Container: 80}}
		before := n.look(t, "web", 1).Pid
		must(t, n.Update(t.Context(), web, 1))
		must(t, fetch("127.0.0.1:18081"))
		if c, err := net.DialTimeout("tcp", "127.0.0.1:18080", 200*time.Millisecond); err == nil {
			c.Close()
			t.Error("the old port is still open")
		}
		if n.look(t, "web", 1).Pid != before {
			t.Error("another port is another process")
		}

		// The agent goes and comes: nothing changes; the address stays over a restart.
		n.reopen(t)
		must(t, fetch("127.0.0.1:18081"))
		must(t, n.Kill(t.Context(), "web", 1, "SIGKILL"))
		n.await(t, "web", 1, exited)
		must(t, n.Start(t.Context(), "web", 1))
		must(t, fetch("127.0.0.1:18081"))
		if again, _ := n.inside(t, "web", command(`ip -o -4 addr show eth0 | grep -o 'inet [0-9.]*' | cut -c6-`), ""); again != address {
			t.Errorf("a restart has the address %q, not %q", again, address)
		}
		must(t, n.Destroy(t.Context(), "web", 1, false))
		if links, err := net.Interfaces(); err != nil || len(links) > 1 {
			t.Errorf("links are left: %v, %v", links, err)
		}
	})
}

// A group is attached once; a container can join another's network; one with users of its own can have a bridge as well.
func TestBridgeShared(t *testing.T) {
	ownNetwork(t, func(t *testing.T) {
		n := open(t)
		g := spec.Group{APIVersion: spec.APIVersion, Kind: spec.KindGroup, Metadata: spec.Metadata{Name: "shop"}}
		g.Spec.Network = spec.Network{Mode: spec.NetworkBridge, Ports: []spec.Port{{Host: 18082, Container: 80}}}
		g.Spec.User.Mode = spec.UserAuto
		g.Spec.Containers = map[string]spec.ContainerSpec{
			"web":    n.container("", `exec httpd -f -p 80 -h /etc`).Spec,
			"client": n.container("", `until wget -qO- http://127.0.0.1/hostname; do sleep 0.05; done 2>/dev/null; echo; echo up; exec sleep 1000`).Spec,
		}
		for _, c := range g.Expand() {
			n.run(t, c, 1)
		}
		n.hear(t, "shop-client", "up")
		joiner := n.container("joiner", `until wget -qO- http://127.0.0.1/hostname; do sleep 0.05; done 2>/dev/null`)
		joiner.Spec.Network = spec.Network{Mode: spec.NetworkJoin, Join: "container:shop-web"}
		if got := n.say(t, joiner); !strings.Contains(got, "shop") {
			t.Errorf("the joiner says %q", got)
		}
		must(t, n.Destroy(t.Context(), "shop-web", 1, false))
		if links, _ := net.Interfaces(); len(links) < 3 {
			t.Error("the group's network went with one of its containers")
		}
		must(t, n.Destroy(t.Context(), "shop-client", 1, false))
		if links, _ := net.Interfaces(); len(links) != 1 {
			t.Errorf("left: %v", links)
		}
	})
}
