package network_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/nft"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// links are those of the node, in one line.
func (w world) links(t testing.TB) string {
	t.Helper()
	c, err := netlink.Dial(w.host, unix.NETLINK_ROUTE)
	must(t, err)
	defer c.Close()
	list, err := c.Links()
	must(t, err)
	var names []string
	for _, l := range list {
		names = append(names, fmt.Sprintf("%s/%d/%s", l.Name, l.Index, l.Alias))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// table tells whether the node has the table of rules, and which.
func (w world) table(t testing.TB) string {
	t.Helper()
	c, err := netlink.Dial(w.host, unix.NETLINK_NETFILTER)
	must(t, err)
	defer c.Close()
	comment, exists, err := nft.Comment(c, network.TableName)
	must(t, err)
	return fmt.Sprint(exists, " ", comment)
}

// An attachment is what was asked for, seen from inside; asking again changes nothing; the last to leave takes the bridge along.
func TestAttach(t *testing.T) {
	w := newWorld(t)
	before := w.links(t)
	sandbox, r := w.container(t, "web", spec.Network{
		Interface: "net0", MAC: "02:00:00:00:00:77", MTU: 1400,
		Routes: []spec.Route{{Destination: "10.200.0.0/16", Metric: 5}, {Destination: "10.201.0.0/16", Gateway: "10.87.0.9"}},
	})
	want(t, "bridge and link", r.Bridge+" "+r.Link, "reconciler0 "+network.LinkName("web"))
	want(t, "address", fmt.Sprint(r.Addresses, r.Gateways), "[10.87.0.2/22] [10.87.0.1]")
	c := dial(t, sandbox)
	link, err := c.Link("net0")
	must(t, err)
	if !link.Up || link.MTU != 1400 || link.MAC.String() != "02:00:00:00:00:77" {
		t.Errorf("inside is %+v", link)
	}
	lo, err := c.Link("lo")
	if err != nil || !lo.Up {
		t.Errorf("lo is %+v, %v", lo, err)
	}
	addresses, err := c.Addresses()
	must(t, err)
	if !slices.Contains(addresses, netlink.Address{Link: link.Index, Prefix: netip.MustParsePrefix("10.87.0.2/22")}) {
		t.Errorf("inside are the addresses %v", addresses)
	}
	routes, err := c.Routes()
	must(t, err)
	gateway := netip.MustParseAddr("10.87.0.1")
	for _, r := range []netlink.Route{
		{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: gateway, Link: link.Index},
		{Destination: netip.MustParsePrefix("10.200.0.0/16"), Gateway: gateway, Link: link.Index, Metric: 5},
		{Destination: netip.MustParsePrefix("10.201.0.0/16"), Gateway: netip.MustParseAddr("10.87.0.9"), Link: link.Index},
	} {
		if !slices.Contains(routes, r) {
			t.Errorf("inside is no route %v among %v", r, routes)
		}
	}
	standing, rules := w.links(t), w.table(t)
	again, err := w.Attach(t.Context(), "web", sandbox, spec.Network{
		Mode: spec.NetworkBridge, Interface: "net0", MAC: "02:00:00:00:00:77", MTU: 1400,
		Routes: []spec.Route{{Destination: "10.200.0.0/16", Metric: 5}, {Destination: "10.201.0.0/16", Gateway: "10.87.0.9"}},
	})
	must(t, err)
	want(t, "again", fmt.Sprint(again), fmt.Sprint(r))
	want(t, "links after asking again", w.links(t), standing)
	want(t, "rules after asking again", w.table(t), rules)

	must(t, w.Detach(t.Context(), "web"))
	must(t, w.Detach(t.Context(), "web"))
	want(t, "links", w.links(t), before)
	want(t, "table", w.table(t), "false ")
	if _, err := c.Link("net0"); !netlink.IsAbsent(err) {
		t.Errorf("inside net0 is left: %v", err)
	}
}

// A name keeps its address over detaching and over the agent; a name that is forgotten does not, and the next one gets another.
func TestAddresses(t *testing.T) {
	w := newWorld(t)
	address := func(name string) string {
		_, r := w.container(t, name, spec.Network{})
		return r.Addresses[0].Addr().String()
	}
	want(t, "a", address("a"), "10.87.0.2")
	want(t, "b", address("b"), "10.87.0.3")
	must(t, w.Detach(t.Context(), "a"))
	want(t, "c beside a's", address("c"), "10.87.0.4")
	want(t, "a again, in another sandbox", address("a"), "10.87.0.2")
	must(t, w.Forget(t.Context(), "b"))
	want(t, "d after b was forgotten", address("d"), "10.87.0.5")

	var err error
	w.Node, err = network.NewNode(w.config)
	must(t, err)
	must(t, w.Detach(t.Context(), "a"))
	want(t, "a with another agent", address("a"), "10.87.0.2")

	// The file is torn: what is attached is read from the kernel.
	for _, text := range []string{`{"version":1,"na`, `{"version":9}`, "\x00\x00"} {
		must(t, os.WriteFile(filepath.Join(w.config.Dir, "network.json"), []byte(text), 0o600))
		w.Node, err = network.NewNode(w.config)
		must(t, err)
		_, err = w.Attach(t.Context(), "thief", space(t), spec.Network{Mode: spec.NetworkBridge, Address: "10.87.0.4/22"})
		if taken, ok := errors.AsType[*network.AddressError](err); !ok || taken.Owner != "c" || !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("c's address after %q: %v", text, err)
		}
	}
	_, err = w.Attach(t.Context(), "thief", space(t), spec.Network{Mode: spec.NetworkBridge, Address: "10.87.0.1/22", Gateway: "10.87.0.9"})
	if taken, ok := errors.AsType[*network.AddressError](err); !ok || taken.Owner != "the node" {
		t.Errorf("the bridge's address: %v", err)
	}
}

// Two bridges have two subnets, and what is on one does not reach the other.
func TestBridgesAreApart(t *testing.T) {
	w := newWorld(t)
	a, _ := w.container(t, "a", spec.Network{Bridge: "left"})
	b, at := w.container(t, "b", spec.Network{Bridge: "right"})
	c, _ := w.container(t, "c", spec.Network{Bridge: "right"})
	want(t, "subnet", at.Addresses[0].String(), "10.87.4.2/22")
	serve(t, b, "tcp", "0.0.0.0:80", "b")
	deaf(t, a, "tcp", at.Addresses[0].Addr().String()+":80")
	want(t, "its neighbour", hears(t, c, "tcp", at.Addresses[0].Addr().String()+":80"), "b saw 10.87.4.3")
}

// IPv6 works as IPv4 does, alone and beside it.
func TestIPv6(t *testing.T) {
	w := newWorld(t)
	web, at := w.container(t, "web", spec.Network{Address6: "fd09::7/64", Ports: []spec.Port{{Host: 8080, Container: 80}}})
	want(t, "addresses", fmt.Sprint(at.Addresses, at.Gateways), "[10.87.0.2/22 fd09::7/64] [10.87.0.1 fd09::1]")
	serve(t, web, "tcp4", "0.0.0.0:80", "web")
	serve(t, web, "tcp6", "[fd09::7]:80", "web6")
	serve(t, w.client, "tcp6", "[fd07::2]:9", "client")
	want(t, "published", hears(t, w.client, "tcp", nodeAddress+":8080"), "web saw "+clientAddress)
	want(t, "published", hears(t, w.client, "tcp", "[fd07::1]:8080"), "web6 saw fd07::2")
	want(t, "from the node", hears(t, w.host, "tcp", "[fd07::1]:8080"), "web6 saw fd07::1")
	want(t, "by itself", hears(t, web, "tcp", "[fd07::1]:8080"), "web6 saw fd09::1")
	if _, err := call(t, w.host, "tcp", "[::1]:8080", patience); !errors.Is(err, unix.ECONNREFUSED) { // and not silence
		t.Errorf("::1 of the node: %v", err)
	}

	must(t, w.Forget(t.Context(), "web"))
	_, at = w.container(t, "six", spec.Network{Bridge: "six", Address: "fd0a::9/64", Gateway: "fd0a::2"})
	want(t, "addresses", fmt.Sprint(at.Addresses, at.Gateways), "[fd0a::9/64] [fd0a::2]")
}

// A bridge that the node has is plugged into and stays as it is.
func TestForeignBridge(t *testing.T) {
	w := newWorld(t)
	host := dial(t, w.host)
	must(t, host.AddBridge(netlink.Bridge{Name: "br0", MAC: []byte{2, 0, 0, 0, 0, 5}}))
	br0, err := host.Link("br0")
	must(t, err)
	sandbox := space(t)
	_, err = w.Attach(t.Context(), "web", sandbox, spec.Network{Mode: spec.NetworkBridge, Bridge: "br0"})
	if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "hint: say network.address") {
		t.Errorf("without an address to choose: %v", err)
	}
	must(t, host.AddAddress(netlink.Address{Link: br0.Index, Prefix: netip.MustParsePrefix("10.3.0.1/24")}))
	before := w.links(t)
	_, r := w.container(t, "web", spec.Network{Bridge: "br0"})
	want(t, "address", fmt.Sprint(r.Addresses, r.Gateways), "[10.3.0.2/24] [10.3.0.1]")
	want(t, "table", w.table(t), "false ")
	web, _ := w.container(t, "web", spec.Network{Bridge: "br0", Ports: []spec.Port{{Host: 8080, Container: 80}}})
	serve(t, web, "tcp", "0.0.0.0:80", "web")
	want(t, "published", hears(t, w.client, "tcp", nodeAddress+":8080"), "web saw "+clientAddress)
	must(t, w.Forget(t.Context(), "web"))
	want(t, "links", w.links(t), before)
	want(t, "table", w.table(t), "false ")
	if _, err := w.Attach(t.Context(), "web", sandbox, spec.Network{Mode: spec.NetworkBridge, Bridge: "wan"}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a link that is no bridge: %v", err)
	}
}

// A failure leaves nothing, and the network that was there is left too.
func TestFailureLeavesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.links(t)
	occupied := space(t)
	must(t, dial(t, occupied).AddBridge(netlink.Bridge{Name: "eth0", MAC: []byte{2, 0, 0, 0, 0, 6}}))
	for name, c := range map[string]struct {
		sandbox *os.File
		want    spec.Network
		is      error
	}{
		"a name that is taken inside": {occupied, spec.Network{}, unix.EEXIST},
		"a route to nowhere":          {space(t), spec.Network{Routes: []spec.Route{{Destination: "10.9.0.0/16", Gateway: "172.31.0.1"}}}, unix.ENETUNREACH},
		"a subnet of the node's":      {space(t), spec.Network{Address: "192.168.7.77/24"}, fs.ErrInvalid},
		"no family to publish on":     {space(t), spec.Network{Ports: []spec.Port{{Host: 80, Container: 80, Address: "::"}}}, fs.ErrInvalid},
		"a path for a bridge":         {space(t), spec.Network{Bridge: "../x"}, fs.ErrInvalid},
		"another mode":                {space(t), spec.Network{Mode: spec.NetworkHost}, fs.ErrInvalid},
	} {
		if c.want.Mode == "" {
			c.want.Mode = spec.NetworkBridge
		}
		if _, err := w.Attach(t.Context(), "web", c.sandbox, c.want); !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %v", name, err, c.is)
		}
		want(t, "links after "+name, w.links(t), before)
		want(t, "table after "+name, w.table(t), "false ")
		if left, err := dial(t, c.sandbox).Link("eth0"); err == nil && left.Kind == "veth" {
			t.Errorf("%s: inside is left %+v", name, left)
		}
	}
	_, r := w.container(t, "web", spec.Network{})
	want(t, "the first address", r.Addresses[0].String(), "10.87.0.2/22")
}

// What a crash left is found by its group and taken away; so is what belongs to a name that is gone.
func TestPrune(t *testing.T) {
	w := newWorld(t)
	before := w.links(t)
	w.container(t, "a", spec.Network{Ports: []spec.Port{{Host: 80, Container: 80}}})
	_, b := w.container(t, "b", spec.Network{Bridge: "other"})
	// An attachment that was not finished: a pair without an alias.
	must(t, dial(t, w.host).AddVeth(netlink.Veth{Name: "vethhalf", MTU: 1500, Group: network.Group, Peer: "eth0", MAC: []byte{2, 0, 0, 0, 0, 8}, PeerNS: space(t)}))
	must(t, w.Prune(t.Context(), []string{"b"}))
	left := w.links(t)
	if strings.Contains(left, "vethhalf") || strings.Contains(left, network.LinkName("a")) || strings.Contains(left, "reconciler0") || !strings.Contains(left, b.Link) {
		t.Errorf("left are %s", left)
	}
	must(t, w.Prune(t.Context(), nil))
	want(t, "links", w.links(t), before)
	want(t, "table", w.table(t), "false ")
}

// A sandbox that died took its pair along; the name is attached anew, with its address.
func TestSandboxGone(t *testing.T) {
	w := newWorld(t)
	first, err := network.Make(spec.NetworkBridge)
	must(t, err)
	was, err := w.Attach(t.Context(), "web", first.Net, spec.Network{Mode: spec.NetworkBridge})
	must(t, err)
	first.Close()
	second, is := w.container(t, "web", spec.Network{})
	want(t, "address", is.Addresses[0].String(), was.Addresses[0].String())
	want(t, "MAC", is.MAC.String(), was.MAC.String())
	serve(t, second, "tcp", "0.0.0.0:80", "web")
	want(t, "the node", hears(t, w.host, "tcp", is.Addresses[0].Addr().String()+":80"), "web saw 10.87.0.1")
}

// 200 rounds, in the first of which the bridge comes and goes too, leave what there was: links, descriptors, no thread in another namespace.
func TestManyRounds(t *testing.T) {
	w, keeper := newWorld(t), space(t)
	before, fds, spaces := w.links(t), descriptors(t), threads(t)
	for i := range 200 {
		if i == 10 {
			_, err := w.Attach(t.Context(), "keeps-the-bridge", keeper, spec.Network{Mode: spec.NetworkBridge})
			must(t, err)
		}
		s, err := network.Make(spec.NetworkBridge)
		must(t, err)
		name := fmt.Sprintf("web-%d", i%7)
		_, err = w.Attach(t.Context(), name, s.Net, spec.Network{Mode: spec.NetworkBridge, Ports: []spec.Port{{Host: 8080, Container: 80}}})
		must(t, err)
		must(t, w.Forget(t.Context(), name))
		must(t, s.Close())
	}
	must(t, w.Forget(t.Context(), "keeps-the-bridge"))
	want(t, "links", w.links(t), before)
	want(t, "table", w.table(t), "false ")
	want(t, "threads", threads(t), spaces)
	if now := descriptors(t); now != fds {
		t.Errorf("%d descriptors, before %d", now, fds)
	}
	data, err := os.ReadFile(filepath.Join(w.config.Dir, "network.json"))
	if err != nil || len(data) > 100 {
		t.Errorf("the file holds %s, %v", data, err)
	}
}

// Names come and go at once from many goroutines; no two have one address, and at the end nothing is left.
func TestParallel(t *testing.T) {
	w := newWorld(t)
	before := w.links(t)
	var lock sync.Mutex
	holders := map[netip.Prefix]string{}
	var users sync.WaitGroup
	for i := range 8 {
		name, sandbox := fmt.Sprintf("web-%d", i), space(t)
		users.Go(func() {
			for range 5 {
				r, err := w.Attach(t.Context(), name, sandbox, spec.Network{
					Mode: spec.NetworkBridge, Bridge: fmt.Sprintf("br%d", i%2), Ports: []spec.Port{{Host: 8000 + i, Container: 80}},
				})
				if err != nil {
					t.Error(err)
					return
				}
				lock.Lock()
				if other, taken := holders[r.Addresses[0]]; taken {
					t.Errorf("%s has the address of %s", name, other)
				}
				holders[r.Addresses[0]] = name
				lock.Unlock()
				if err := w.Publish(t.Context(), name, nil); err != nil {
					t.Error(err)
				}
				lock.Lock()
				delete(holders, r.Addresses[0])
				lock.Unlock()
				if err := w.Forget(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
	want(t, "links", w.links(t), before)
	want(t, "table", w.table(t), "false ")
}
