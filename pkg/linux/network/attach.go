package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Result is how a sandbox is attached.
type Result struct {
	Bridge    string           // the node's
	Link      string           // the node's end
	Interface string           // the container's end
	MAC       net.HardwareAddr // of the container's end
	MTU       int              // of both ends, in bytes
	Addresses []netip.Prefix   // of the container, IPv4 first
	Gateways  []netip.Addr     // where its default routes lead
}

// Attach gives the sandbox of a name its place on a bridge, as a network of mode Bridge asks for it, and publishes its ports. Repeating it
// changes nothing; a sandbox or a network other than before takes the place of the old one. A failure leaves nothing that this call made.
//
// Errors: fs.ErrInvalid for what no node can do, *PortError and *AddressError for what another container has, errors.ErrUnsupported for a kernel without bridges or nftables.
func (n *Node) Attach(ctx context.Context, name string, sandbox *os.File, want spec.Network) (result Result, err error) {
	fail := func(err error) (Result, error) {
		return Result{}, fmt.Errorf("cannot attach %q to the network: %w", name, unsupported(err))
	}
	if err := checkWant(name, sandbox, want); err != nil {
		return fail(err)
	}
	host, end, err := n.begin(ctx)
	if err != nil {
		return fail(err)
	}
	defer end()
	if err := n.checkPorts(name, want.Ports); err != nil {
		return Result{}, err
	}
	before := n.state.clone()
	led, _ := n.forwards()
	var u undo
	u.add(func() error { return errors.Join(n.change(before), n.apply(host)) })
	defer u.run(&err)
	a, err := n.plan(host, name, want, &u)
	if err != nil {
		return fail(err)
	}
	if a.MTU, err = n.attach(host, sandbox, a, &u); err != nil {
		return fail(err)
	}
	if leads, err := n.forwards(); err == nil {
		n.endStale(host, led, leads)
	}
	return a.Result, nil
}

// attach carries a plan out, and gives the MTU that there is.
func (n *Node) attach(host *netlink.Conn, sandbox *os.File, a attachment, u *undo) (mtu int, err error) {
	inside, err := netlink.Dial(sandbox, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer inside.Close()
	switch link, err := host.Link(a.Link); {
	case netlink.IsAbsent(err):
	case err != nil:
		return 0, err
	case link.Group != Group:
		return 0, fmt.Errorf("link %s is there, and not ours", a.Link)
	case link.Alias == a.alias && link.Master == a.plug.index && paired(host, inside, link, sandbox, a.Interface):
		return link.MTU, n.apply(host)
	default:
		if err := host.Delete(link.Index); err != nil {
			return 0, err
		}
	}
	if err := host.AddVeth(netlink.Veth{
		Name: a.Link, Master: a.plug.index, MTU: a.MTU, Group: Group, Peer: a.Interface, MAC: a.MAC, PeerNS: sandbox,
	}); err != nil {
		return 0, err
	}
	link, err := host.Link(a.Link)
	if err != nil {
		return 0, err
	}
	u.add(func() error { return host.Delete(link.Index) })
	if err := a.configure(inside, sandbox); err != nil {
		return 0, err
	}
	if err := n.apply(host); err != nil {
		return 0, err
	}
	return a.MTU, host.SetPort(link.Index, a.alias, true)
}

// configure sets up the container's end.
func (a attachment) configure(inside *netlink.Conn, sandbox *os.File) error {
	link, err := inside.Link(a.Interface)
	if err != nil {
		return err
	}
	// A neighbour on the bridge is not a router because it says so: CVE-2020-10749.
	if err := sysctls(sandbox, setting{"ipv6/conf/" + a.Interface + "/accept_ra", "0"}); err != nil {
		return err
	}
	for _, p := range a.Addresses {
		if err := inside.AddAddress(netlink.Address{Link: link.Index, Prefix: p}); err != nil {
			return err
		}
	}
	for _, index := range []int{loopback0, link.Index} {
		if err := inside.Up(index); err != nil {
			return err
		}
	}
	for _, r := range a.routes {
		r.Link = link.Index
		if err := inside.AddRoute(r); err != nil {
			return err
		}
	}
	return nil
}

// loopback0 is the index of lo, LOOPBACK_IFINDEX of linux/net_namespace.h.
const loopback0 = 1

// paired tells whether the other end of a link is the interface of a sandbox.
func paired(host, inside *netlink.Conn, link netlink.Link, sandbox *os.File, name string) bool {
	peer, err := inside.Link(name)
	if err != nil || peer.Index != link.Peer || peer.Peer != link.Index {
		return false
	}
	id, err := host.NamespaceID(sandbox)
	return err == nil && id == link.PeerNS
}
