package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
)

// Of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE

	ctaTupleOrig = 1 // CTA_TUPLE_ORIG
	ctaID        = 12

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaIPv4Destination = 2
	ctaIPv6Destination = 4

	ctaProtoNumber      = 1
	ctaProtoDestination = 3
)

// flow is a conntrack entry: where its first packet went, and what identifies it to the kernel.
type flow struct {
	family   uint8
	protocol uint8
	to       netip.AddrPort
	tuple    []byte // CTA_TUPLE_ORIG
	id       []byte // CTA_ID
}

// endFlows ends the UDP flows to ports of the node that lead elsewhere now. For the kernel a flow lasts as long as it is used, so that without
// this a client that does not pause goes on to reach who had the port before, or nobody. TCP connections have an end of their own.
func (n *Node) endFlows(host *netlink.Conn, before, after []forward) error {
	changed := slices.Concat(less(before, after), less(after, before))
	if changed = slices.DeleteFunc(changed, func(f forward) bool { return f.protocol != unix.IPPROTO_UDP }); len(changed) == 0 {
		return nil
	}
	addresses, err := host.Addresses()
	if err != nil {
		return err
	}
	conn, err := netlink.Dial(n.config.Host, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		flows, err := listFlows(conn, family)
		if err != nil {
			return fmt.Errorf("cannot end flows of UDP: %w", err)
		}
		for _, f := range flows {
			local := f.to.Addr().IsLoopback() || slices.ContainsFunc(addresses, func(a netlink.Address) bool { return a.Prefix.Addr() == f.to.Addr() })
			if !local || !slices.ContainsFunc(changed, f.uses) {
				continue
			}
			if err := f.end(conn); err != nil {
				return err
			}
		}
	}
	return nil
}

// less are the forwards of a that are not in b.
func less(a, b []forward) (list []forward) {
	for _, f := range a {
		if !slices.Contains(b, f) {
			list = append(list, f)
		}
	}
	return list
}

// uses tells whether the first packet of a flow was for a forward.
func (f flow) uses(p forward) bool {
	return f.protocol == p.protocol && f.to.Port() == p.port && f.to.Addr().Is4() == p.to.Addr().Is4() &&
		(p.address.IsUnspecified() || p.address == f.to.Addr())
}

// end deletes a flow; one that has ended is no error.
func (f flow) end(conn *netlink.Conn) error {
	r := netlink.NewRequest(ctDelete, 0, netlink.Netfilter(f.family, 0))
	r.Bytes(ctaTupleOrig|unix.NLA_F_NESTED, f.tuple)
	if f.id != nil {
		r.Bytes(ctaID, f.id)
	}
	if err := conn.Do(r); err != nil && !netlink.IsAbsent(err) {
		return fmt.Errorf("cannot end the flow to %s: %w", f.to, err)
	}
	return nil
}

func listFlows(conn *netlink.Conn, family uint8) (flows []flow, err error) {
	answers, err := conn.Ask(netlink.NewRequest(ctGet, unix.NLM_F_DUMP, netlink.Netfilter(family, 0)))
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		f, err := parseFlow(a.Body)
		if err != nil {
			return nil, err
		}
		f.family = family
		flows = append(flows, f)
	}
	return flows, nil
}

// parseFlow reads a conntrack entry.
func parseFlow(body []byte) (f flow, err error) {
	if len(body) < 4 {
		return f, netlink.ErrMalformed
	}
	err = netlink.Attributes(body[4:], func(kind uint16, value []byte) error {
		switch kind {
		case ctaID:
			f.id = value
		case ctaTupleOrig:
			f.tuple = value
			return netlink.Attributes(value, f.parseTuple)
		}
		return nil
	})
	return f, err
}

func (f *flow) parseTuple(kind uint16, value []byte) error {
	return netlink.Attributes(value, func(below uint16, value []byte) error {
		switch {
		case kind == ctaTupleIP && (below == ctaIPv4Destination || below == ctaIPv6Destination):
			a, _ := netip.AddrFromSlice(value)
			f.to = netip.AddrPortFrom(a, f.to.Port())
		case kind == ctaTupleProto && below == ctaProtoNumber && len(value) == 1:
			f.protocol = value[0]
		case kind == ctaTupleProto && below == ctaProtoDestination && len(value) == 2:
			f.to = netip.AddrPortFrom(f.to.Addr(), binary.BigEndian.Uint16(value))
		}
		return nil
	})
}
