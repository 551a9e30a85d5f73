package network

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/nft"
)

// TableName is the nftables table, of family inet, with all rules of a node. No other table is touched.
const TableName = "reconciler"

// subnet is the address of a bridge of ours, with the length of its subnet.
type subnet struct {
	bridge string
	prefix netip.Prefix
}

// forward is a port of the node that leads to a container.
type forward struct {
	protocol uint8
	address  netip.Addr // of the node; unspecified for every one of its family
	port     uint16
	to       netip.AddrPort
}

// family is what the rules for IPv4 and IPv6 differ in: offsets are those of the IP header.
type family struct {
	name                        string
	number                      byte
	field                       nft.Field
	source, destination, length uint32
}

var (
	ipv4 = family{"4", unix.NFPROTO_IPV4, nft.FieldIPv4, 12, 16, 4}
	ipv6 = family{"6", unix.NFPROTO_IPV6, nft.FieldIPv6, 8, 24, 16}
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

// Priorities of chains: linux/netfilter_ipv4.h.
const (
	priorityRaw         = -300
	priorityDestination = -100
	priorityFilter      = 0
	prioritySource      = 100
)

// table is the table that carries out all forwards and lets the subnets out.
//
// A connection to a published port of an address of the node is sent on before it is routed, be it from outside (prerouting) or from
// the node itself (output). What would come back by another way than it went is masqueraded: a container that calls itself or its
// neighbour by the node's address, and the node that calls from 127.0.0.1. What no published port lets into a subnet of ours is
// dropped, and so is what a container sends to or from 127.0.0.0/8, which route_localnet would let in.
func table(subnets []subnet, forwards []forward) nft.Table {
	t := nft.Table{Name: TableName}
	published := []nft.Rule{rule(isNot(unix.NFT_META_IIFNAME, linkName("lo")), loopback(ipv4.destination), decide(nft.Return))}
	var local []nft.Rule
	for _, f := range []family{ipv4, ipv6} {
		t.Maps = append(t.Maps, f.maps(forwards)...)
		published = append(published, f.redirects()...)
		local = append(local, f.redirects()...)
	}
	spoofed := []nft.Rule{
		rule(is(unix.NFT_META_IIFGROUP, ourGroup()), loopback(ipv4.source), decide(nft.Drop)),
		rule(is(unix.NFT_META_IIFGROUP, ourGroup()), loopback(ipv4.destination), decide(nft.Drop)),
	}
	t.Chains = []nft.Chain{
		{Name: "spoofed", Kind: "filter", Hook: unix.NF_INET_PRE_ROUTING, Priority: priorityRaw, Rules: spoofed},
		{Name: "published", Kind: "nat", Hook: unix.NF_INET_PRE_ROUTING, Priority: priorityDestination, Rules: published},
		{Name: "local", Kind: "nat", Hook: unix.NF_INET_LOCAL_OUT, Priority: priorityDestination, Rules: local},
		{Name: "forwarded", Kind: "filter", Hook: unix.NF_INET_FORWARD, Priority: priorityFilter, Rules: filters(subnets)},
		{Name: "masqueraded", Kind: "nat", Hook: unix.NF_INET_POST_ROUTING, Priority: prioritySource, Rules: masquerades(subnets)},
	}
	t.Comment = fingerprint(t)
	return t
}

// fingerprint tells tables apart by all but the elements of their maps, so that one that stands need not be written again.
func fingerprint(t nft.Table) string {
	t.Maps = slices.Clone(t.Maps)
	for i := range t.Maps {
		t.Maps[i].Elements = nil
	}
	data, err := json.Marshal(t)
	if err != nil {
		panic("network: a table is always JSON: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return "made by reconciler, " + hex.EncodeToString(sum[:8])
}

// maps are the family's two: ports published on one address of the node, and on every one.
func (f family) maps(forwards []forward) []nft.Map {
	to := []nft.Field{f.field, nft.FieldPort}
	one := nft.Map{Name: "one" + f.name, Key: []nft.Field{f.field, nft.FieldProtocol, nft.FieldPort}, Data: to}
	every := nft.Map{Name: "every" + f.name, Key: []nft.Field{nft.FieldProtocol, nft.FieldPort}, Data: to}
	for _, p := range forwards {
		if familyOf(p.to.Addr()) != f {
			continue
		}
		protocol, port := []byte{p.protocol}, nft.Port(p.port)
		data := nft.Words(p.to.Addr().AsSlice(), nft.Port(p.to.Port()))
		if p.address.IsUnspecified() {
			every.Elements = append(every.Elements, nft.Element{Key: nft.Words(protocol, port), Data: data})
		} else {
			one.Elements = append(one.Elements, nft.Element{Key: nft.Words(p.address.AsSlice(), protocol, port), Data: data})
		}
	}
	return []nft.Map{one, every}
}

// redirects are the rules that look a packet to the node up in the family's maps.
func (f family) redirects() []nft.Rule {
	words := f.length / 4
	toNode := nft.Rule{nft.DestinationKind(first), nft.Equal(first, nft.Native(unix.RTN_LOCAL))}
	address := nft.Rule{nft.Payload(unix.NFT_PAYLOAD_NETWORK_HEADER, f.destination, f.length, first)}
	port := func(at uint32) nft.Rule {
		return nft.Rule{nft.Meta(unix.NFT_META_L4PROTO, at), nft.Payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, at+1)}
	}
	send := func(name string) nft.Rule {
		return nft.Rule{nft.Lookup(name+f.name, first), nft.Redirect(uint32(f.number), first, first+words)}
	}
	var reachable nft.Rule
	if f == ipv6 { // what the node calls itself never leaves lo: sent on, it would be lost, and the caller wait
		reachable = rule(address, nft.Rule{nft.Unequal(first, netip.IPv6Loopback().AsSlice())})
	}
	return []nft.Rule{
		rule(toNode, f.only(), address, port(first+words), send("one")),
		rule(toNode, f.only(), reachable, port(first), send("every")),
	}
}

// filters let into the subnets what belongs there: answers, what stays on one bridge, and what a published port sent on.
func filters(subnets []subnet) []nft.Rule {
	const established = 1<<1 | 1<<2 // NF_CT_STATE_BIT of established and related: linux/netfilter/nf_conntrack_common.h
	rules := []nft.Rule{rule(connection(unix.NFT_CT_STATE, established), decide(nft.Accept))}
	for _, bridge := range bridges(subnets) {
		name := linkName(bridge)
		rules = append(rules, rule(is(unix.NFT_META_IIFNAME, name), is(unix.NFT_META_OIFNAME, name), decide(nft.Accept)))
	}
	return append(
		rules,
		rule(is(unix.NFT_META_OIFGROUP, ourGroup()), redirected(), decide(nft.Accept)),
		rule(is(unix.NFT_META_OIFGROUP, ourGroup()), decide(nft.Drop)),
	)
}

// masquerades hide the subnets from the outside, and callers whose answer would not come back through the node from whom they call.
func masquerades(subnets []subnet) []nft.Rule {
	masquerade := nft.Rule{nft.Masquerade()}
	rules := []nft.Rule{rule(loopback(ipv4.source), is(unix.NFT_META_OIFGROUP, ourGroup()), masquerade)}
	for _, s := range subnets {
		f, name := familyOf(s.prefix.Addr()), linkName(s.bridge)
		from := rule(f.only(), nft.Rule{
			nft.Payload(unix.NFT_PAYLOAD_NETWORK_HEADER, f.source, f.length, first),
			nft.Mask(first, mask(s.prefix)), nft.Equal(first, s.prefix.Masked().Addr().AsSlice()),
		})
		rules = append(
			rules,
			rule(from, isNot(unix.NFT_META_OIFNAME, name), masquerade),
			rule(from, is(unix.NFT_META_OIFNAME, name), redirected(), masquerade),
		)
	}
	return rules
}

// first is the register that rules work in; keys and values of several fields go on after it.
const first = nft.Register

// rule puts the parts of a rule together.
func rule(parts ...nft.Rule) nft.Rule { return slices.Concat(parts...) }

func is(key uint32, value []byte) nft.Rule {
	return nft.Rule{nft.Meta(key, first), nft.Equal(first, value)}
}

func isNot(key uint32, value []byte) nft.Rule {
	return nft.Rule{nft.Meta(key, first), nft.Unequal(first, value)}
}

// only goes on for packets of the family.
func (f family) only() nft.Rule { return is(unix.NFT_META_NFPROTO, []byte{f.number}) }

// loopback goes on for packets that have an address of 127.0.0.0/8 at an offset of their header.
func loopback(offset uint32) nft.Rule {
	return rule(ipv4.only(), nft.Rule{nft.Payload(unix.NFT_PAYLOAD_NETWORK_HEADER, offset, 1, first), nft.Equal(first, []byte{127})})
}

// connection goes on when a connection has one of some bits.
func connection(key, bits uint32) nft.Rule {
	return nft.Rule{nft.Connection(key, first), nft.Mask(first, nft.Native(bits)), nft.Unequal(first, nft.Native(0))}
}

// redirected goes on for connections to a published port.
func redirected() nft.Rule {
	const translated = 1 << 5 // IPS_DST_NAT: linux/netfilter/nf_conntrack_common.h
	return connection(unix.NFT_CT_STATUS, translated)
}

func decide(v nft.Verdict) nft.Rule { return nft.Rule{nft.Decide(v)} }

func ourGroup() []byte { return nft.Native(Group) }

// linkName is a name as the kernel compares it: IFNAMSIZ bytes.
func linkName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func mask(p netip.Prefix) []byte {
	b := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return b
}

// bridges are the names of the bridges of subnets, each once, sorted.
func bridges(subnets []subnet) []string {
	var names []string
	for _, s := range subnets {
		names = append(names, s.bridge)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
