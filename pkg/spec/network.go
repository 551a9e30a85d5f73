package spec

import "net/netip"

// Network says which network a container sees. Mode Bridge alone has the fields from bridge to ports.
type Network struct {
	// Mode is Private (own network namespace with loopback up; default), Host (the node's), None (own namespace, loopback down), Bridge (own namespace, with an address on a bridge of the node) or Join (that of another).
	Mode NetworkMode `json:"mode,omitzero" class:"replace"`
	// Join says with Join whose network it is: container:NAME or the absolute path of a namespace file.
	Join string `json:"join,omitzero" class:"replace" format:"joined"`
	// Bridge is the bridge with Bridge, made when there is none of the name and gone with its last container; what leaves it has the node's address, and the node forwards packets from then on (net.ipv4.ip_forward). One that the node has already is left as it is: nothing is masqueraded, and ports are not reached at 127.0.0.1. Default reconciler0.
	Bridge string `json:"bridge,omitzero" class:"replace" format:"link"`
	// Interface is the name of the container's end. Default eth0.
	Interface string `json:"interface,omitzero" class:"replace" format:"link"`
	// Address is the container's address, with the length of its subnet: 10.1.2.3/24. Default: one of the bridge's subnet that no other container has, kept until the container is removed.
	Address string `json:"address,omitzero" class:"replace" format:"cidr"`
	// Address6 is an IPv6 address beside an address of IPv4: fd00::7/64. Default: none.
	Address6 string `json:"address6,omitzero" class:"replace" format:"cidr"`
	// Gateway is where the default route leads. Default: the bridge's own address.
	Gateway string `json:"gateway,omitzero" class:"replace" format:"ip"`
	// Gateway6 is where the default route of address6 leads. Default: the bridge's own address.
	Gateway6 string `json:"gateway6,omitzero" class:"replace" format:"ip"`
	// Routes are further routes inside the container.
	Routes []Route `json:"routes,omitzero" class:"replace"`
	// MAC is the hardware address. Default: made from the address.
	MAC string `json:"mac,omitzero" class:"replace" format:"mac"`
	// MTU is the longest packet in bytes. Default: that of the link with the node's default route.
	MTU int `json:"mtu,omitzero" class:"replace" min:"68" max:"65535"`
	// Ports are ports of the node that lead into the container. Connections that are open outlive a change.
	Ports []Port `json:"ports,omitzero" class:"live"`
	// DNS is how names are resolved. Default: as the node does, but for resolvers at loopback addresses.
	DNS DNS `json:"dns,omitzero" class:"replace"`
	// Hosts are names with their addresses, added to /etc/hosts.
	Hosts map[string]string `json:"hosts,omitzero" class:"replace" keys:"domain" format:"ip"`
}

// NetworkMode names a way of attaching a container to a network.
type NetworkMode string

// The network modes.
const (
	NetworkPrivate NetworkMode = "Private"
	NetworkHost    NetworkMode = "Host"
	NetworkNone    NetworkMode = "None"
	NetworkBridge  NetworkMode = "Bridge"
	NetworkJoin    NetworkMode = "Join"
)

// Defaults of a container on a bridge.
const (
	DefaultBridge    = "reconciler0"
	DefaultInterface = "eth0"
)

// Route is a route inside the container.
type Route struct {
	// Destination is the subnet it leads to: 10.1.0.0/16, or 0.0.0.0/0 for everything.
	Destination string `json:"destination" class:"replace" format:"subnet"`
	// Gateway is the next hop. Default: the container's gateway of that family.
	Gateway string `json:"gateway,omitzero" class:"replace" format:"ip"`
	// Metric is its priority among routes to the same destination, the lowest first. Default 0.
	Metric int `json:"metric,omitzero" class:"replace" min:"0" max:"2147483647"`
}

// Port is a port of the node that leads to a port of the container.
type Port struct {
	// Host is the port of the node.
	Host int `json:"host" class:"live" min:"1" max:"65535"`
	// Container is the port in the container.
	Container int `json:"container" class:"live" min:"1" max:"65535"`
	// Protocol is tcp (default) or udp.
	Protocol Protocol `json:"protocol,omitzero" class:"live"`
	// Address is the node's address it is published on; 0.0.0.0 is every one of IPv4, :: of IPv6. Default: every address.
	Address string `json:"address,omitzero" class:"live" format:"ip"`
}

// Protocol is a protocol with ports.
type Protocol string

// The protocols.
const (
	ProtocolTCP Protocol = "tcp"
	ProtocolUDP Protocol = "udp"
)

// Collides tells whether some packet would go by both of two ports.
func (p Port) Collides(q Port) bool {
	return p.Host == q.Host && p.protocol() == q.protocol() && (covers(p.Address, q.Address) || covers(q.Address, p.Address))
}

func (p Port) protocol() Protocol {
	if p.Protocol == "" {
		return ProtocolTCP
	}
	return p.Protocol
}

// covers tells whether publishing on the address a takes what is sent to b.
func covers(a, b string) bool {
	if a == "" || a == b {
		return true
	}
	all, errAll := netip.ParseAddr(a)
	one, errOne := netip.ParseAddr(b)
	return errAll == nil && errOne == nil && all.IsUnspecified() && all.Is4() == one.Is4()
}

// DNS is what /etc/resolv.conf says, see resolv.conf(5).
type DNS struct {
	// Nameservers are the addresses of resolvers, at most 3. Default: the node's.
	Nameservers []string `json:"nameservers,omitzero" class:"replace" format:"ip"`
	// Search are domains that short names are looked up in. Default: the node's, unless nameservers are said.
	Search []string `json:"search,omitzero" class:"replace" format:"domain"`
	// Options are the words of resolv.conf(5), such as ndots:2. Default: the node's, unless nameservers are said.
	Options []string `json:"options,omitzero" class:"replace" format:"dnsOption"`
}
