package network

import (
	"net/netip"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// addresses are those of a container: what is said, or what the name had, or the next that is free.
func (n *Node) addresses(host *netlink.Conn, name, bridge string, p plug, want spec.Network) (list []netip.Prefix, err error) {
	owners, err := n.owners(host, name, bridge)
	if err != nil {
		return nil, err
	}
	for _, said := range []string{want.Address, want.Address6} {
		if said == "" {
			continue
		}
		a, err := netip.ParsePrefix(said)
		if err != nil {
			return nil, invalid("network.address %q is not an address with the length of its subnet", said)
		}
		if p.ours && !slices.ContainsFunc(p.addresses, func(own netip.Prefix) bool { return own.Masked() == a.Masked() }) {
			return nil, invalid("%s is not in a subnet of bridge %s, which has %v", a, bridge, p.addresses)
		}
		if owner, taken := owners[a.Addr()]; taken {
			return nil, &AddressError{name, a.Addr(), owner}
		}
		list = append(list, a)
	}
	if want.Address != "" {
		return list, nil
	}
	free, err := n.free(name, bridge, p, owners)
	if err != nil {
		return nil, err
	}
	return append([]netip.Prefix{free}, list...), nil
}

// free is an address for a name on a bridge: the one it has, or another.
func (n *Node) free(name, bridge string, p plug, owners map[netip.Addr]string) (netip.Prefix, error) {
	if len(p.addresses) == 0 {
		return netip.Prefix{}, invalid("bridge %s has no address, so none of its subnet can be chosen\nhint: say network.address", bridge)
	}
	own := p.addresses[0]
	if at := slices.IndexFunc(p.addresses, func(p netip.Prefix) bool { return p.Addr().Is4() }); at >= 0 {
		own = p.addresses[at]
	}
	if had := n.state.Names[name]; had.Bridge == bridge && len(had.Addresses) > 0 && had.Addresses[0].Masked() == own.Masked() {
		if _, taken := owners[had.Addresses[0].Addr()]; !taken {
			return had.Addresses[0], nil
		}
	}
	b := n.state.Bridges[bridge]
	a, err := nextAddress(own, b.Last, func(a netip.Addr) bool { _, taken := owners[a]; return taken })
	if err != nil {
		return a, err
	}
	if p.ours {
		b.Last = a.Addr()
		n.state.Bridges[bridge] = b
	}
	return a, nil
}

// owners are the addresses that a name cannot have on a bridge: those of others there, and the node's own.
func (n *Node) owners(host *netlink.Conn, name, bridge string) (map[netip.Addr]string, error) {
	owners := map[netip.Addr]string{}
	addresses, err := host.Addresses()
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		owners[a.Prefix.Addr()] = "the node"
	}
	for other, h := range n.state.Names {
		if other == name || h.Bridge != bridge {
			continue
		}
		for _, a := range h.Addresses {
			owners[a.Addr()] = other
		}
	}
	return owners, nil
}
