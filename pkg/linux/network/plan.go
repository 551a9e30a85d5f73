package network

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/netip"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// attachment is a plan for one sandbox: the result it shall have, and what else is to be done.
type attachment struct {
	Result
	plug   plug
	routes []netlink.Route // their Link is not known yet
	alias  string
}

// plan chooses what the manifest leaves open, and makes the bridge when it is missing.
func (n *Node) plan(host *netlink.Conn, name string, want spec.Network, u *undo) (a attachment, err error) {
	a = attachment{Result: Result{
		Bridge: or(want.Bridge, spec.DefaultBridge), Link: LinkName(name), Interface: or(want.Interface, spec.DefaultInterface), MTU: want.MTU,
	}}
	if a.plug, err = n.ensureBridge(host, a.Bridge, want, u); err != nil {
		return a, err
	}
	if a.Addresses, err = n.addresses(host, name, a.Bridge, a.plug, want); err != nil {
		return a, err
	}
	for i, address := range a.Addresses {
		if g := gateway(address, []string{want.Gateway, want.Gateway6}[i], a.plug.addresses); g.IsValid() {
			a.Gateways = append(a.Gateways, g)
		}
	}
	if a.routes, err = routes(want.Routes, a.Gateways); err != nil {
		return a, err
	}
	a.MAC = macOf(a.Addresses[0].Addr())
	if want.MAC != "" {
		if a.MAC, err = net.ParseMAC(want.MAC); err != nil {
			return a, invalid("network.mac %q is not a MAC address", want.MAC)
		}
	}
	a.alias = writeAlias(name, a.Addresses, a.fingerprint())
	if a.MTU == 0 { // not part of the fingerprint: what stands keeps the one it has
		a.MTU = uplinkMTU(host)
	}
	n.state.Names[name] = held{Bridge: a.Bridge, Addresses: a.Addresses, Ports: want.Ports}
	return a, n.change(n.state)
}

// fingerprint tells attachments apart that differ in what cannot be seen in the link itself.
func (a attachment) fingerprint() string {
	data, err := json.Marshal(struct {
		Result
		Routes []netlink.Route
	}{a.Result, a.routes})
	if err != nil {
		panic("network: an attachment is always JSON: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// gateway is where the default route of an address leads: what is said, or the bridge's address in the subnet; none when it has none there.
func gateway(address netip.Prefix, said string, bridge []netip.Prefix) netip.Addr {
	if g, err := netip.ParseAddr(said); err == nil {
		return g
	}
	for _, own := range bridge {
		if own.Masked() == address.Masked() {
			return own.Addr()
		}
	}
	return netip.Addr{}
}

// routes are the default routes and those that are said; one that is said to lead everywhere stands for the default one.
func routes(said []spec.Route, gateways []netip.Addr) (list []netlink.Route, err error) {
	everywhere := map[bool]bool{}
	for _, s := range said {
		d, err := netip.ParsePrefix(s.Destination)
		if err != nil {
			return nil, invalid("the route to %q has no destination", s.Destination)
		}
		r := netlink.Route{Destination: d, Metric: s.Metric}
		if s.Gateway != "" {
			if r.Gateway, err = netip.ParseAddr(s.Gateway); err != nil {
				return nil, invalid("the gateway %q of the route to %s is not an address", s.Gateway, d)
			}
		} else if at := slices.IndexFunc(gateways, func(g netip.Addr) bool { return g.Is4() == d.Addr().Is4() }); at >= 0 {
			r.Gateway = gateways[at]
		}
		everywhere[d.Addr().Is4()] = everywhere[d.Addr().Is4()] || d.Bits() == 0
		list = append(list, r)
	}
	for _, g := range gateways {
		if !everywhere[g.Is4()] {
			all := netip.IPv6Unspecified()
			if g.Is4() {
				all = netip.IPv4Unspecified()
			}
			list = append(list, netlink.Route{Destination: netip.PrefixFrom(all, 0), Gateway: g})
		}
	}
	return list, nil
}

// uplinkMTU is that of the link to the rest of the world: the one with the route to an address that is nobody's (RFC 5737, RFC 3849).
func uplinkMTU(host *netlink.Conn) int {
	for _, far := range []string{"192.0.2.1", "2001:db8::1"} {
		index, err := host.RouteTo(netip.MustParseAddr(far))
		if err != nil {
			continue
		}
		if link, err := host.LinkAt(index); err == nil && link.MTU >= 1280 {
			return min(link.MTU, 65535)
		}
	}
	return 1500
}

func or(said, otherwise string) string {
	if said != "" {
		return said
	}
	return otherwise
}
