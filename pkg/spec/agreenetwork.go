package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	yamltree "go.yaml.in/yaml/v3"
)

// bridgeFields are those of a network that mode Bridge alone has.
var bridgeFields = []string{"bridge", "interface", "address", "address6", "gateway", "gateway6", "routes", "mac", "mtu", "ports"}

func (c *checker) agreeNetwork(spec *yamltree.Node) {
	network := at(spec, "network")
	mode := NetworkMode(scalar(network, "mode"))
	join := at(network, "join")
	switch {
	case mode == NetworkJoin && join == nil:
		c.add(network, "spec.network.join", fault{"is missing", "say whose network it is: container:NAME, or the path of a namespace file"})
	case mode != NetworkJoin && join != nil:
		c.add(join, "spec.network.join", fault{"only a container of mode Join has it", "say mode: Join"})
	}
	for key := range keys(network) {
		if mode != NetworkBridge && slices.Contains(bridgeFields, key.Value) {
			c.add(key, joinField("spec.network", key.Value), fault{"only a container of mode Bridge has it", "say mode: Bridge"})
		}
	}
	c.agreeAddress(network, "address", "gateway")
	c.agreeAddress(network, "address6", "gateway6")
	c.agreeFamilies(network)
	c.agreeRoutes(network)
	c.agreePorts(network)
	if list := at(network, "dns", "nameservers"); list != nil && list.Kind == yamltree.SequenceNode && len(list.Content) > nameserversMax {
		c.add(list.Content[nameserversMax], fmt.Sprintf("spec.network.dns.nameservers[%d]", nameserversMax), faultf("resolvers are read up to the third"))
	}
}

// nameserversMax is MAXNS of resolv.h.
const nameserversMax = 3

// agreeAddress checks that a gateway is a neighbour of its address.
func (c *checker) agreeAddress(network *yamltree.Node, address, gateway string) {
	subnet, errSubnet := netip.ParsePrefix(scalar(network, address))
	next, errNext := netip.ParseAddr(scalar(network, gateway))
	path := "spec.network." + gateway
	switch {
	case errSubnet != nil || errNext != nil:
	case !subnet.Contains(next):
		c.add(at(network, gateway), path, faultf("%s is not in the subnet of %s, %s", next, address, subnet.Masked()))
	case next == subnet.Addr():
		c.add(at(network, gateway), path, faultf("%s is the container's own address", next))
	}
}

// agreeFamilies checks that address6 is the second address and of IPv6, and that packets are as long as IPv6 needs them.
func (c *checker) agreeFamilies(network *yamltree.Node) {
	first, errFirst := netip.ParsePrefix(scalar(network, "address"))
	second, errSecond := netip.ParsePrefix(scalar(network, "address6"))
	if errSecond == nil && second.Addr().Is4() {
		c.add(at(network, "address6"), "spec.network.address6", fault{scalar(network, "address6") + " is an address of IPv4", "it is spec.network.address"})
	}
	if errFirst == nil && errSecond == nil && first.Addr().Is6() {
		c.add(at(network, "address6"), "spec.network.address6", fault{"address is of IPv6 already", "leave one of them out"})
	}
	if next, err := netip.ParseAddr(scalar(network, "gateway6")); err == nil && next.Is4() {
		c.add(at(network, "gateway6"), "spec.network.gateway6", fault{next.String() + " is an address of IPv4", "it is spec.network.gateway"})
	}
	mtu, err := strconv.Atoi(scalar(network, "mtu"))
	if six := errSecond == nil || errFirst == nil && first.Addr().Is6(); six && err == nil && mtu < 1280 {
		c.add(at(network, "mtu"), "spec.network.mtu", faultf("%d is less than the 1280 of IPv6", mtu))
	}
}

// agreeRoutes checks that the hop of each route is of the route's family.
func (c *checker) agreeRoutes(network *yamltree.Node) {
	routes := at(network, "routes")
	if routes == nil || routes.Kind != yamltree.SequenceNode {
		return
	}
	for i, r := range routes.Content {
		destination, errDestination := netip.ParsePrefix(scalar(r, "destination"))
		next, errNext := netip.ParseAddr(scalar(r, "gateway"))
		if errDestination == nil && errNext == nil && destination.Addr().Is4() != next.Is4() {
			c.add(at(r, "gateway"), fmt.Sprintf("spec.network.routes[%d].gateway", i), faultf("%s is not of the family of %s", next, destination))
		}
	}
}

// agreePorts checks that no port of the node leads to two places.
func (c *checker) agreePorts(network *yamltree.Node) {
	ports := at(network, "ports")
	if ports == nil || ports.Kind != yamltree.SequenceNode {
		return
	}
	said := make([]Port, len(ports.Content))
	for i, n := range ports.Content {
		host, err := strconv.Atoi(scalar(n, "host"))
		if err != nil {
			continue
		}
		said[i] = Port{Host: host, Protocol: Protocol(scalar(n, "protocol")), Address: scalar(n, "address")}
		if before := slices.IndexFunc(said[:i], said[i].Collides); before >= 0 {
			c.add(at(n, "host"), fmt.Sprintf("spec.network.ports[%d].host", i),
				fault{fmt.Sprintf("%s port %d is published already", said[i].protocol(), host), fmt.Sprintf("by ports[%d], in line %d", before, c.offset+ports.Content[before].Line)})
		}
	}
}
