package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/nft"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Publish replaces the ports of a name that is attached, while it runs: the table of all ports changes in one transaction, and
// connections that are open go on.
func (n *Node) Publish(ctx context.Context, name string, ports []spec.Port) (err error) {
	host, end, err := n.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	had, ok := n.state.Names[name]
	if !ok {
		return fmt.Errorf("cannot publish ports of %q: it is not attached to a network", name)
	}
	if err := errors.Join(checkPorts(ports), n.checkPorts(name, ports)); err != nil {
		return err
	}
	before := n.state
	var u undo
	u.add(func() error { return errors.Join(n.change(before), n.apply(host)) })
	defer u.run(&err)
	s := n.state.clone()
	had.Ports = ports
	s.Names[name] = had
	if err := n.move(host, s); err != nil {
		return fmt.Errorf("cannot publish ports of %q: %w", name, unsupported(err))
	}
	return nil
}

// checkPorts refuses ports that are another's.
func (n *Node) checkPorts(name string, ports []spec.Port) error {
	for _, other := range slices.Sorted(maps.Keys(n.state.Names)) {
		if other == name {
			continue
		}
		for _, p := range ports {
			if slices.ContainsFunc(n.state.Names[other].Ports, p.Collides) {
				return &PortError{name, p, other}
			}
		}
	}
	return nil
}

// checkPorts refuses what no manifest can say, but a program that uses this library can.
func checkPorts(ports []spec.Port) error {
	for i, p := range ports {
		_, errAddress := netip.ParseAddr(p.Address)
		switch {
		case p.Host < 1 || p.Host > 65535 || p.Container < 1 || p.Container > 65535:
			return invalid("port %d to %d is not between 1 and 65535", p.Host, p.Container)
		case protocols[p.Protocol] == 0:
			return invalid("%q is not a protocol with ports", p.Protocol)
		case p.Address != "" && errAddress != nil:
			return invalid("%q is not an address", p.Address)
		case slices.ContainsFunc(ports[:i], p.Collides):
			return invalid("port %d is published twice", p.Host)
		}
	}
	return nil
}

// protocols are the protocols by their numbers.
var protocols = map[spec.Protocol]uint8{"": unix.IPPROTO_TCP, spec.ProtocolTCP: unix.IPPROTO_TCP, spec.ProtocolUDP: unix.IPPROTO_UDP}

// forwards are where ports lead, one for each address of the container that they can reach.
func forwards(ports []spec.Port, addresses []netip.Prefix) (list []forward, err error) {
	for _, p := range ports {
		found := false
		for _, to := range addresses {
			f := forward{protocols[p.Protocol], unspecified(to.Addr()), uint16(p.Host), netip.AddrPortFrom(to.Addr(), uint16(p.Container))}
			if p.Address != "" {
				if f.address, err = netip.ParseAddr(p.Address); err != nil {
					return nil, err
				}
			}
			if f.address.Is4() == to.Addr().Is4() {
				list, found = append(list, f), true
			}
		}
		if !found {
			return nil, invalid("port %d cannot be published on %s: the container has no address of that family", p.Host, p.Address)
		}
	}
	return list, nil
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// apply makes the table of rules what the state says, unless it is so already; it goes with the last bridge and port.
func (n *Node) apply(host *netlink.Conn) error {
	subnets, err := n.subnets(host)
	if err != nil {
		return err
	}
	all, err := n.forwards()
	if err != nil {
		return err
	}
	return n.replace(subnets, all)
}

// subnets are those of the bridges of ours that are there.
func (n *Node) subnets(host *netlink.Conn) (subnets []subnet, err error) {
	for _, name := range slices.Sorted(maps.Keys(n.state.Bridges)) {
		link, err := host.Link(name)
		switch {
		case netlink.IsAbsent(err) || err == nil && link.Group != Group:
			continue
		case err != nil:
			return nil, err
		}
		for _, a := range n.state.Bridges[name].Addresses {
			subnets = append(subnets, subnet{name, a})
		}
	}
	return subnets, nil
}

// forwards are where the ports of all names lead.
func (n *Node) forwards() (all []forward, err error) {
	for _, name := range slices.Sorted(maps.Keys(n.state.Names)) {
		h := n.state.Names[name]
		list, err := forwards(h.Ports, h.Addresses)
		if err != nil {
			return nil, fmt.Errorf("cannot publish ports of %q: %w", name, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// move makes the state s, and what follows from it in the kernel.
func (n *Node) move(host *netlink.Conn, s state) error {
	before, _ := n.forwards() // what could not be carried out had no flows either
	if err := errors.Join(n.change(s), n.apply(host)); err != nil {
		return err
	}
	after, err := n.forwards()
	if err != nil {
		return err
	}
	n.endStale(host, before, after)
	return nil
}

// endStale is endFlows for callers that have done what they were asked for: a kernel without ctnetlink only lets go later.
func (n *Node) endStale(host *netlink.Conn, before, after []forward) {
	if err := n.endFlows(host, before, after); err != nil {
		n.config.Log.Error(err, "flows to ports that moved may reach who had them before")
	}
}

// replace writes the table, and then lets 127.0.0.1 lead to where it must: without the rules for spoofed packets it would let
// containers reach services of the node that listen there.
func (n *Node) replace(subnets []subnet, all []forward) error {
	conn, err := netlink.Dial(n.config.Host, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer conn.Close()
	stands, exists, err := nft.Comment(conn, TableName)
	switch {
	case err != nil && (len(subnets) > 0 || len(all) > 0):
		return err
	case len(subnets) == 0 && len(all) == 0 && exists:
		return nft.Remove(conn, TableName)
	case len(subnets) == 0 && len(all) == 0:
		return nil
	}
	if len(all) > 0 {
		if err := forwarding(n.config.Host, slices.ContainsFunc(all, func(f forward) bool { return f.to.Addr().Is6() })); err != nil {
			return err
		}
	}
	write := nft.Replace
	t := table(subnets, all)
	if stands == t.Comment {
		write = nft.Update
	}
	if err := write(conn, t); err != nil {
		return err
	}
	return n.localnet(subnets, all)
}

// localnet sets route_localnet of the bridges that a port of 127.0.0.1 leads to, and clears it of the others.
func (n *Node) localnet(subnets []subnet, all []forward) error {
	var settings []setting
	for _, name := range bridges(subnets) {
		value := "0"
		for _, f := range all {
			local := f.address.Is4() && (f.address.IsUnspecified() || f.address.IsLoopback())
			if local && slices.ContainsFunc(subnets, func(s subnet) bool { return s.bridge == name && s.prefix.Contains(f.to.Addr()) }) {
				value = "1"
			}
		}
		settings = append(settings, setting{"ipv4/conf/" + name + "/route_localnet", value})
	}
	if settings == nil {
		return nil
	}
	return sysctls(n.config.Host, settings...)
}

// unsupported marks what a kernel without a part of the network answers.
func unsupported(err error) error {
	for _, errno := range []error{unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT} {
		if errors.Is(err, errno) && !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("%w: %w", err, errors.ErrUnsupported)
		}
	}
	return err
}
