package netlink_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// group marks the links of a test.
const group = 4711

// space is a network namespace of the test's own.
func space(t testing.TB) *os.File {
	t.Helper()
	kerneltest.Root(t)
	kerneltest.Require(t, feature.NetworkNamespaces)
	s, err := network.Make(spec.NetworkPrivate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.Net
}

func dial(t testing.TB, ns *os.File, subsystem int) *netlink.Conn {
	t.Helper()
	c, err := netlink.Dial(ns, subsystem)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A bridge and a veth pair are made, plugged together, addressed, routed, changed and taken away; each is seen as it was made.
func TestLinksAddressesRoutes(t *testing.T) {
	here, there := space(t), space(t)
	a, b := dial(t, here, unix.NETLINK_ROUTE), dial(t, there, unix.NETLINK_ROUTE)
	mac := net.HardwareAddr{2, 0x52, 10, 0, 0, 1}
	must(t, a.AddBridge(netlink.Bridge{Name: "br0", MAC: mac, Group: group}))
	bridge, err := a.Link("br0")
	must(t, err)
	if bridge.Kind != "bridge" || !bridge.Up || bridge.Group != group || bridge.MAC.String() != mac.String() || bridge.PeerNS != netlink.Here {
		t.Errorf("made %+v", bridge)
	}
	other := net.HardwareAddr{2, 0x52, 10, 0, 0, 2}
	must(t, a.AddVeth(netlink.Veth{Name: "v0", Master: bridge.Index, MTU: 1400, Group: group, Peer: "eth0", MAC: other, PeerNS: there}))
	host, err := a.Link("v0")
	must(t, err)
	peer, err := b.Link("eth0")
	must(t, err)
	if host.Master != bridge.Index || !host.Up || host.MTU != 1400 || host.Kind != "veth" || host.Peer != peer.Index {
		t.Errorf("made %+v", host)
	}
	if peer.Up || peer.MTU != 1400 || peer.MAC.String() != other.String() || peer.Peer != host.Index {
		t.Errorf("made %+v", peer)
	}
	if id, err := a.NamespaceID(there); err != nil || id != host.PeerNS || id == netlink.Here {
		t.Errorf("the namespace of the peer is %d, %v, want %d", id, err, host.PeerNS)
	}
	must(t, a.SetPort(host.Index, "web", true))
	must(t, b.SetName(peer.Index, "net1"))
	must(t, b.SetMTU(peer.Index, 1300))
	must(t, b.SetMAC(peer.Index, mac))
	must(t, b.Up(peer.Index))
	must(t, a.SetMaster(host.Index, 0))
	host, err = a.LinkAt(host.Index)
	must(t, err)
	peer, err = b.LinkAt(peer.Index)
	must(t, err)
	if host.Alias != "web" || host.Master != 0 || peer.Name != "net1" || peer.MTU != 1300 || peer.MAC.String() != mac.String() || !peer.Up {
		t.Errorf("changed to %+v and %+v", host, peer)
	}
	for _, p := range []string{"10.0.0.2/24", "fd00::2/64"} {
		address := netlink.Address{Link: peer.Index, Prefix: netip.MustParsePrefix(p)}
		must(t, b.AddAddress(address))
		must(t, b.AddAddress(address))
		if list, err := b.Addresses(); err != nil || !slices.Contains(list, address) {
			t.Errorf("%s is not in %v, %v", p, list, err)
		}
	}
	for _, route := range []netlink.Route{
		{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.0.1"), Link: peer.Index},
		{Destination: netip.MustParsePrefix("10.9.0.0/16"), Link: peer.Index, Metric: 7},
		{Destination: netip.MustParsePrefix("fd09::/32"), Gateway: netip.MustParseAddr("fd00::1"), Link: peer.Index, Metric: 9},
	} {
		must(t, b.AddRoute(route))
		must(t, b.AddRoute(route))
		if list, err := b.Routes(); err != nil || !slices.Contains(list, route) {
			t.Errorf("%v is not in %v, %v", route, list, err)
		}
	}
	must(t, a.Delete(host.Index))
	must(t, a.Delete(host.Index))
	if _, err := b.Link("net1"); !netlink.IsAbsent(err) {
		t.Errorf("the peer of a link that was deleted: %v", err)
	}
	must(t, a.Delete(bridge.Index))
	if links, err := a.Links(); err != nil || len(links) != 1 || links[0].Name != "lo" {
		t.Errorf("left are %+v, %v", links, err)
	}
}

// The kernel's own words are in the error, and so is its number.
func TestErrorsHaveReasons(t *testing.T) {
	c := dial(t, space(t), unix.NETLINK_ROUTE)
	err := c.AddRoute(netlink.Route{Destination: netip.MustParsePrefix("10.1.0.0/16"), Gateway: netip.MustParseAddr("192.0.2.1"), Link: 1})
	var refusal *netlink.Error
	if !errors.As(err, &refusal) || refusal.Errno != unix.ENETUNREACH || !strings.Contains(err.Error(), "Nexthop has invalid gateway") {
		t.Errorf("an impossible route: %v", err)
	}
	if _, err := c.Link("nothing"); !netlink.IsAbsent(err) {
		t.Errorf("a link that is not there: %v", err)
	}
	must(t, c.AddBridge(netlink.Bridge{Name: "br0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}))
	if err := c.AddBridge(netlink.Bridge{Name: "br0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a bridge that exists: %v", err)
	}
}

// A dump of more than one read is whole, and the socket is good for the next request.
func TestLongDump(t *testing.T) {
	c := dial(t, space(t), unix.NETLINK_ROUTE)
	const many = 300
	for i := range many {
		must(t, c.AddAddress(netlink.Address{Link: 1, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 8)}))
	}
	for range 2 {
		list, err := c.Addresses()
		if err != nil || len(list) < many {
			t.Fatalf("%d addresses, %v", len(list), err)
		}
	}
}

// A value that does not fit into its length makes the request fail, and nothing is sent: CVE-2021-43784 was a length cut to 16 bits.
func TestOverflow(t *testing.T) {
	c := dial(t, space(t), unix.NETLINK_ROUTE)
	long := strings.Repeat("x", 1<<16)
	for name, fill := range map[string]func(r *netlink.Request){
		"value": func(r *netlink.Request) { r.Text(unix.IFLA_IFALIAS, long) },
		"nest": func(r *netlink.Request) {
			r.Nest(unix.IFLA_LINKINFO, func() { r.Text(1, long[:40000]); r.Text(2, long[:40000]) })
		},
		"NUL": func(r *netlink.Request) { r.Text(unix.IFLA_IFALIAS, "a\x00b") },
	} {
		r := netlink.NewRequest(unix.RTM_NEWLINK, 0, make([]byte, unix.SizeofIfInfomsg))
		fill(r)
		if err := c.Do(r); err == nil || !strings.Contains(err.Error(), "cannot write attribute") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Link("lo"); err != nil {
		t.Errorf("the socket afterwards: %v", err)
	}
}

func TestCloseTwice(t *testing.T) {
	c := dial(t, space(t), unix.NETLINK_ROUTE)
	must(t, c.Close())
	must(t, c.Close())
	if _, err := c.Links(); !errors.Is(err, unix.EBADF) {
		t.Errorf("links of a closed socket: %v", err)
	}
}

// FuzzAttributes: whatever is read, what is given lies within it, and the walk ends.
func FuzzAttributes(f *testing.F) {
	r := binary.NativeEndian.AppendUint16(nil, 5)
	r = binary.NativeEndian.AppendUint16(r, 3)
	f.Add(append(r, 'a', 0, 0, 0, 4, 0, 1, 0))
	f.Add([]byte{0, 0, 1, 0})
	f.Add([]byte{255, 255, 1, 0, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		err := netlink.Attributes(data, func(_ uint16, value []byte) error {
			total += unix.SizeofRtAttr + len(value)
			return nil
		})
		if total > len(data) {
			t.Errorf("%d bytes of attributes in %d", total, len(data))
		}
		if err != nil && !errors.Is(err, netlink.ErrMalformed) {
			t.Error(err)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
