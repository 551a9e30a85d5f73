package network_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A published port is reached from everywhere it should be: from another machine, from the node by any of its addresses, from the
// container itself and from its neighbour; and the container that is called sees who calls, unless the answer would go astray.
func TestPublish(t *testing.T) {
	for _, protocol := range []spec.Protocol{spec.ProtocolTCP, spec.ProtocolUDP} {
		t.Run(string(protocol), func(t *testing.T) {
			w := newWorld(t)
			p := string(protocol)
			web, at := w.container(t, "web", spec.Network{Ports: []spec.Port{{Host: 8080, Container: 80, Protocol: protocol}}})
			other, _ := w.container(t, "other", spec.Network{})
			serve(t, web, p, "0.0.0.0:80", "web")
			gateway := at.Gateways[0].String()
			own := at.Addresses[0].Addr().String()

			want(t, "another machine", hears(t, w.client, p, nodeAddress+":8080"), "web saw "+clientAddress)
			want(t, "the node by its address", hears(t, w.host, p, nodeAddress+":8080"), "web saw "+nodeAddress)
			want(t, "the node by its loopback", hears(t, w.host, p, "127.0.0.1:8080"), "web saw "+gateway)
			want(t, "the container itself", hears(t, web, p, nodeAddress+":8080"), "web saw "+gateway)
			want(t, "the container by the bridge", hears(t, web, p, gateway+":8080"), "web saw "+gateway)
			want(t, "its neighbour", hears(t, other, p, nodeAddress+":8080"), "web saw "+gateway)
			neighbour := hears(t, other, p, own+":80")
			if !strings.HasPrefix(neighbour, "web saw 10.87.0.") || neighbour == "web saw "+gateway {
				t.Errorf("its neighbour, directly: %s", neighbour)
			}
			deaf(t, w.client, p, nodeAddress+":80")
			deaf(t, w.client, p, nodeAddress+":8081")
			must(t, w.Publish(t.Context(), "web", nil))
			deaf(t, w.client, p, nodeAddress+":8080")
			deaf(t, w.host, p, "127.0.0.1:8080")
		})
	}
}

// A container reaches the outside under the node's address.
func TestMasquerade(t *testing.T) {
	w := newWorld(t)
	web, _ := w.container(t, "web", spec.Network{})
	for _, p := range []string{"tcp", "udp"} {
		serve(t, w.client, p, "0.0.0.0:9", "client")
		want(t, p, hears(t, web, p, clientAddress+":9"), "client saw "+nodeAddress)
	}
}

// The table is replaced as a whole: a connection that is open goes on, while ports come, go and stay.
func TestReplaceKeepsConnections(t *testing.T) {
	w := newWorld(t)
	web, _ := w.container(t, "web", spec.Network{Ports: []spec.Port{{Host: 8080, Container: 80}}})
	serve(t, web, "tcp", "0.0.0.0:80", "web")
	conn, err := call(t, w.client, "tcp", nodeAddress+":8080", patience)
	must(t, err)
	for i, ports := range [][]spec.Port{
		{{Host: 8080, Container: 80}, {Host: 8081, Container: 80}}, {{Host: 8081, Container: 80}}, nil, {{Host: 8080, Container: 80}},
	} {
		must(t, w.Publish(t.Context(), "web", ports))
		text, err := say(conn, fmt.Sprint("line ", i), patience)
		if err != nil || !strings.HasSuffix(text, fmt.Sprint(": line ", i)) {
			t.Errorf("with ports %v the open connection answers %q, %v", ports, text, err)
		}
	}
	want(t, "a port that came back", hears(t, w.client, "tcp", nodeAddress+":8080"), "web saw "+clientAddress)
}

// A port on one address of the node is not open on another, and one on 127.0.0.1 is the node's alone.
func TestPublishOnAddress(t *testing.T) {
	w := newWorld(t)
	web, at := w.container(t, "web", spec.Network{Ports: []spec.Port{
		{Host: 81, Container: 80, Address: nodeAddress}, {Host: 82, Container: 80, Address: "127.0.0.1"}, {Host: 83, Container: 80, Address: "0.0.0.0"},
	}})
	serve(t, web, "tcp", "0.0.0.0:80", "web")
	gateway := at.Gateways[0].String()
	want(t, "the address", hears(t, w.client, "tcp", nodeAddress+":81"), "web saw "+clientAddress)
	deaf(t, w.host, "tcp", "127.0.0.1:81")
	want(t, "the loopback", hears(t, w.host, "tcp", "127.0.0.1:82"), "web saw "+gateway)
	deaf(t, w.client, "tcp", nodeAddress+":82")
	want(t, "every address", hears(t, w.client, "tcp", nodeAddress+":83"), "web saw "+clientAddress)
	want(t, "every address, loopback", hears(t, w.host, "tcp", "127.0.0.1:83"), "web saw "+gateway)
}

// What listens on the node's loopback is not a container's to reach, though route_localnet is set for published ports (CVE-2020-8558),
// and a port published on 127.0.0.1 is not a neighbour's to reach. Neither is what a container does not publish, for a machine that knows
// the way to its subnet.
func TestClosedDoors(t *testing.T) {
	w := newWorld(t)
	web, at := w.container(t, "web", spec.Network{Ports: []spec.Port{{Host: 8080, Container: 80}, {Host: 8082, Container: 80, Address: "127.0.0.1"}}})
	serve(t, web, "tcp", "0.0.0.0:80", "web")
	serve(t, web, "tcp", "0.0.0.0:22", "secret")
	serve(t, w.host, "udp", "127.0.0.1:77", "node")
	serve(t, w.host, "udp", nodeAddress+":78", "node")
	gateway, own := at.Gateways[0].String(), at.Addresses[0].Addr().String()

	sendLoopback(t, web, gateway)
	deaf(t, web, "udp", "127.0.0.1:77")
	want(t, "what the node offers to all", hears(t, web, "udp", nodeAddress+":78"), "node saw "+own)

	sendLoopback(t, w.client, nodeAddress)
	deaf(t, w.client, "tcp", "127.0.0.1:8082")
	addRoute(t, dial(t, w.client), at.Addresses[0].Masked().String(), nodeAddress)
	deaf(t, w.client, "tcp", own+":22")
	want(t, "what is published", hears(t, w.client, "tcp", nodeAddress+":8080"), "web saw "+clientAddress)
	want(t, "the node itself may", hears(t, w.host, "tcp", own+":22"), "secret saw "+gateway)
}

// sendLoopback makes a namespace give up its own loopback, and send what is for 127.0.0.1 to another machine.
func sendLoopback(t testing.TB, ns *os.File, via string) {
	t.Helper()
	must(t, netlink.Inside(ns, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/conf/eth0/route_localnet", []byte("1"), 0)
	}))
	c := dial(t, ns)
	r := netlink.NewRequest(unix.RTM_DELADDR, 0, []byte{unix.AF_INET, 8, 0, 0, 1, 0, 0, 0}) // 127.0.0.1/8 of link 1, with its routes
	r.Bytes(unix.IFA_LOCAL, []byte{127, 0, 0, 1})
	must(t, c.Do(r))
	addRoute(t, c, "127.0.0.1/32", via)
}

func addRoute(t testing.TB, c *netlink.Conn, destination, via string) {
	t.Helper()
	eth0, err := c.Link("eth0")
	must(t, err)
	must(t, c.AddRoute(netlink.Route{Destination: netip.MustParsePrefix(destination), Gateway: netip.MustParseAddr(via), Link: eth0.Index}))
}

// One port of the node leads to one container: the second is told who has it, and nothing of it is made.
func TestPortConflict(t *testing.T) {
	w := newWorld(t)
	w.container(t, "a", spec.Network{Ports: []spec.Port{{Host: 8080, Container: 80}}})
	before := w.links(t)
	_, err := w.Attach(t.Context(), "b", space(t), spec.Network{Mode: spec.NetworkBridge, Ports: []spec.Port{{Host: 8080, Container: 81, Address: "127.0.0.1"}}})
	conflict, ok := errors.AsType[*network.PortError](err)
	if !ok || !errors.Is(err, unix.EADDRINUSE) || conflict.Owner != "a" || conflict.Name != "b" || conflict.Port.Host != 8080 {
		t.Errorf("got %v", err)
	}
	want(t, "links", w.links(t), before)
	w.container(t, "b", spec.Network{Ports: []spec.Port{{Host: 8080, Container: 80, Protocol: spec.ProtocolUDP}}})
	if err := w.Publish(t.Context(), "b", []spec.Port{{Host: 8080, Container: 80}}); !errors.As(err, &conflict) {
		t.Errorf("got %v", err)
	}
	must(t, w.Detach(t.Context(), "a"))
	must(t, w.Publish(t.Context(), "b", []spec.Port{{Host: 8080, Container: 80}}))
}

// A client of UDP that does not pause is led where the port leads: to nobody when it is closed, and to the next who has it, though the kernel's
// flow has not ended and though a packet came while nobody had the port.
func TestFlowsFollowPorts(t *testing.T) {
	w := newWorld(t)
	port := []spec.Port{{Host: 53, Container: 53, Protocol: spec.ProtocolUDP}}
	first, _ := w.container(t, "first", spec.Network{Ports: port})
	second, _ := w.container(t, "second", spec.Network{})
	serve(t, first, "udp", "0.0.0.0:53", "first")
	serve(t, second, "udp", "0.0.0.0:53", "second")
	conn, err := call(t, w.client, "udp", nodeAddress+":53", patience)
	must(t, err)
	who := func(wait time.Duration) string {
		text, err := say(conn, "hello", wait)
		if err != nil {
			return "nobody"
		}
		name, _, _ := strings.Cut(text, " ")
		return name
	}
	want(t, "at first", who(patience), "first")
	must(t, w.Publish(t.Context(), "first", nil))
	want(t, "closed", who(impatience), "nobody")
	must(t, w.Publish(t.Context(), "second", port))
	want(t, "moved", who(patience), "second")
	must(t, w.Forget(t.Context(), "second"))
	want(t, "gone", who(impatience), "nobody")
	_, err = w.Attach(t.Context(), "first", first, spec.Network{Mode: spec.NetworkBridge, Ports: port})
	must(t, err)
	want(t, "back", who(patience), "first")
}
