package network

import (
	"crypto/sha256"
	"net"
	"net/netip"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// plug is a bridge to plug into.
type plug struct {
	index     int
	ours      bool
	addresses []netip.Prefix // the bridge's own
}

// ensureBridge finds the bridge of an attachment, or makes it. One that is not ours is only looked at.
func (n *Node) ensureBridge(host *netlink.Conn, name string, want spec.Network, u *undo) (plug, error) {
	link, err := host.Link(name)
	if netlink.IsAbsent(err) {
		return n.makeBridge(host, name, want, u)
	}
	if err != nil {
		return plug{}, err
	}
	if link.Kind != "bridge" {
		return plug{}, invalid("%s is not a bridge", name)
	}
	addresses, err := host.Addresses()
	if err != nil {
		return plug{}, err
	}
	p := plug{link.Index, link.Group == Group, of(addresses, link.Index)}
	if !p.ours {
		return p, nil
	}
	missing, err := n.bridgeAddresses(host, name, link.Index, want, p.addresses)
	if err != nil {
		return plug{}, err
	}
	return p, n.address(host, name, &p, missing)
}

// makeBridge makes a bridge with its addresses.
func (n *Node) makeBridge(host *netlink.Conn, name string, want spec.Network, u *undo) (p plug, err error) {
	addresses, err := n.bridgeAddresses(host, name, 0, want, nil)
	if err != nil {
		return p, err
	}
	if err := host.AddBridge(netlink.Bridge{Name: name, MAC: macOf(addresses[0].Addr()), Group: Group}); err != nil {
		return p, err
	}
	u.add(func() error { return n.dropBridge(host, name) })
	link, err := host.Link(name)
	if err != nil {
		return p, err
	}
	// What a container says of itself being a router is not heard: CVE-2020-10749.
	if err := sysctls(n.config.Host, setting{"ipv6/conf/" + name + "/accept_ra", "0"}); err != nil {
		return p, err
	}
	p = plug{index: link.Index, ours: true}
	return p, n.address(host, name, &p, addresses)
}

// address gives a bridge of ours addresses, and remembers all it has.
func (n *Node) address(host *netlink.Conn, name string, p *plug, addresses []netip.Prefix) error {
	six := false
	for _, a := range addresses {
		if err := host.AddAddress(netlink.Address{Link: p.index, Prefix: a}); err != nil {
			return err
		}
		p.addresses = append(p.addresses, a)
		six = six || a.Addr().Is6()
	}
	known := n.state.Bridges[name]
	if slices.Equal(known.Addresses, p.addresses) && len(addresses) == 0 {
		return nil
	}
	known.Addresses = p.addresses
	n.state.Bridges[name] = known
	return forwarding(n.config.Host, six)
}

// bridgeAddresses are the addresses that a bridge of ours needs for an attachment beside those it has: for the addresses that are
// said, their gateways; else what it had before, or a subnet of the pool.
func (n *Node) bridgeAddresses(host *netlink.Conn, name string, index int, want spec.Network, has []netip.Prefix) (needs []netip.Prefix, err error) {
	for _, said := range []struct{ address, gateway string }{{want.Address, want.Gateway}, {want.Address6, want.Gateway6}} {
		if said.address == "" {
			continue
		}
		own, err := gatewayFor(said.address, said.gateway)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(has, sameFamily(own)) {
			needs = append(needs, own)
		}
	}
	others, err := n.routed(host, name, index)
	if err != nil {
		return nil, err
	}
	for _, p := range needs {
		if at := slices.IndexFunc(others, p.Overlaps); at >= 0 {
			return nil, invalid("the subnet %s of bridge %s overlaps %s, which the node has a route to", p.Masked(), name, others[at])
		}
	}
	if want.Address != "" || slices.ContainsFunc(has, sameFamily(n.config.Subnet)) {
		return needs, nil
	}
	free := func(p netip.Prefix) bool { return !slices.ContainsFunc(others, p.Overlaps) }
	for _, known := range n.state.Bridges[name].Addresses {
		if sameFamily(n.config.Subnet)(known) && free(known) {
			return append(needs, known), nil
		}
	}
	own, err := nextSubnet(n.config.Subnet, others)
	return append([]netip.Prefix{own}, needs...), err
}

func sameFamily(p netip.Prefix) func(netip.Prefix) bool {
	return func(q netip.Prefix) bool { return p.Addr().Is4() == q.Addr().Is4() }
}

// routed are the subnets that a bridge must not have: those the node has routes to elsewhere, and those of its other bridges.
func (n *Node) routed(host *netlink.Conn, name string, index int) (list []netip.Prefix, err error) {
	routes, err := host.Routes()
	if err != nil {
		return nil, err
	}
	for _, r := range routes {
		if r.Destination.Bits() > 0 && r.Link != index && !r.Destination.Addr().IsLinkLocalUnicast() {
			list = append(list, r.Destination)
		}
	}
	for other, b := range n.state.Bridges {
		if other != name {
			list = append(list, b.Addresses...)
		}
	}
	return list, nil
}

// gatewayFor is the address of a bridge whose container has a said one: the said gateway, or the first address of the subnet that is not the container's.
func gatewayFor(address, gateway string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(address)
	if err != nil {
		return p, invalid("network.address %q is not an address with the length of its subnet", address)
	}
	own := p.Masked().Addr().Next()
	if own == p.Addr() {
		own = own.Next()
	}
	if gateway != "" {
		if own, err = netip.ParseAddr(gateway); err != nil {
			return p, invalid("network.gateway %q is not an address", gateway)
		}
	}
	if !p.Contains(own) || own == p.Addr() {
		return p, invalid("the gateway %s is not a neighbour of %s", own, p)
	}
	return netip.PrefixFrom(own, p.Bits()), nil
}

// dropBridge takes a bridge of ours away if nothing is plugged in.
func (n *Node) dropBridge(host *netlink.Conn, name string) error {
	link, err := host.Link(name)
	if netlink.IsAbsent(err) || err == nil && (link.Group != Group || link.Kind != "bridge") {
		return nil
	}
	if err != nil {
		return err
	}
	ports, err := host.Ports(link.Index)
	if err != nil || len(ports) > 0 {
		return err
	}
	return host.Delete(link.Index)
}

// macOf is a MAC address made of an address, so that who has it next is found where the one before was: locally administered, 02:52 and
// IPv4 as it is, or a hash of IPv6.
func macOf(a netip.Addr) net.HardwareAddr {
	tail := a.AsSlice()
	if a.Is6() {
		sum := sha256.Sum256(tail)
		tail = sum[:4]
	}
	return append(net.HardwareAddr{0x02, 0x52}, tail...)
}
