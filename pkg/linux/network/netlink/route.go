package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Address is an address of a link with the length of its subnet's prefix.
type Address struct {
	Link   int
	Prefix netip.Prefix // not masked: 10.0.0.7/24
}

// Addresses are all addresses of the namespace.
func (c *Conn) Addresses() (list []Address, err error) {
	answers, err := c.Ask(NewRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP, addressHeader(unix.AF_UNSPEC, 0, 0)))
	if err != nil {
		return nil, fmt.Errorf("cannot list addresses: %w", err)
	}
	for _, a := range answers {
		address, err := parseAddress(a.Body)
		if err != nil {
			return nil, fmt.Errorf("cannot list addresses: %w", err)
		}
		list = append(list, address)
	}
	return list, nil
}

// AddAddress gives a link an address, without the seconds that IPv6 waits for somebody to claim it. Repeating it does nothing.
func (c *Conn) AddAddress(a Address) error {
	r := NewRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, addressHeader(family(a.Prefix.Addr()), a.Prefix.Bits(), a.Link))
	value := a.Prefix.Addr().AsSlice()
	r.Bytes(unix.IFA_LOCAL, value)
	r.Bytes(unix.IFA_ADDRESS, value)
	if a.Prefix.Addr().Is4() {
		r.Bytes(unix.IFA_BROADCAST, broadcast(a.Prefix))
	} else {
		r.Uint32(unix.IFA_FLAGS, unix.IFA_F_NODAD)
	}
	if err := c.Do(r); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cannot add address %s to link %d: %w", a.Prefix, a.Link, err)
	}
	return nil
}

// broadcast is the last address of an IPv4 subnet; those of one or two addresses have none (RFC 3021).
func broadcast(p netip.Prefix) []byte {
	b := p.Addr().As4()
	if p.Bits() > 30 {
		return make([]byte, 4)
	}
	n := binary.BigEndian.Uint32(b[:]) | ^uint32(0)>>p.Bits()
	return binary.BigEndian.AppendUint32(nil, n)
}

// Route is a route of the main table.
type Route struct {
	Destination netip.Prefix // masked; 0.0.0.0/0 is the default route
	Gateway     netip.Addr   // invalid for what is reached directly
	Link        int
	Metric      int
}

// Routes are those of the main table that lead over one link.
func (c *Conn) Routes() (list []Route, err error) {
	answers, err := c.Ask(NewRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP, routeHeader(unix.AF_UNSPEC, 0, 0, 0, 0)))
	if err != nil {
		return nil, fmt.Errorf("cannot list routes: %w", err)
	}
	for _, a := range answers {
		route, ok, err := parseRoute(a.Body)
		if err != nil {
			return nil, fmt.Errorf("cannot list routes: %w", err)
		}
		if ok {
			list = append(list, route)
		}
	}
	return list, nil
}

// RouteTo is the link that packets to an address leave by, whatever tables and rules say so.
func (c *Conn) RouteTo(a netip.Addr) (link int, err error) {
	r := NewRequest(unix.RTM_GETROUTE, 0, routeHeader(family(a), a.BitLen(), 0, 0, 0))
	r.Bytes(unix.RTA_DST, a.AsSlice())
	answers, err := c.Ask(r)
	if err != nil {
		return 0, fmt.Errorf("cannot find the route to %s: %w", a, err)
	}
	for _, answer := range answers {
		if len(answer.Body) < unix.SizeofRtMsg {
			return 0, fmt.Errorf("cannot find the route to %s: %w", a, ErrMalformed)
		}
		if err := Attributes(answer.Body[unix.SizeofRtMsg:], func(kind uint16, value []byte) error {
			if kind == unix.RTA_OIF {
				link = int(Uint32(value))
			}
			return nil
		}); err != nil {
			return 0, err
		}
	}
	return link, nil
}

// AddRoute adds a route. Repeating it does nothing.
func (c *Conn) AddRoute(route Route) error {
	scope := uint8(unix.RT_SCOPE_UNIVERSE)
	if !route.Gateway.IsValid() {
		scope = unix.RT_SCOPE_LINK
	}
	d := route.Destination
	r := NewRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL,
		routeHeader(family(d.Addr()), d.Bits(), unix.RT_TABLE_MAIN, scope, unix.RTN_UNICAST))
	r.Bytes(unix.RTA_DST, d.Masked().Addr().AsSlice())
	if route.Gateway.IsValid() {
		r.Bytes(unix.RTA_GATEWAY, route.Gateway.AsSlice())
	}
	r.Uint32(unix.RTA_OIF, uint32(route.Link))
	if route.Metric != 0 {
		r.Uint32(unix.RTA_PRIORITY, uint32(route.Metric))
	}
	if err := c.Do(r); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cannot add route to %s: %w", d, err)
	}
	return nil
}

// IsAbsent tells that what was asked for is not there.
func IsAbsent(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOENT)
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// addressHeader is a struct ifaddrmsg.
func addressHeader(family uint8, bits, link int) []byte {
	return binary.NativeEndian.AppendUint32([]byte{family, uint8(bits), 0, unix.RT_SCOPE_UNIVERSE}, uint32(link))
}

// routeHeader is a struct rtmsg.
func routeHeader(family uint8, bits int, table, scope, kind uint8) []byte {
	protocol := uint8(unix.RTPROT_STATIC)
	if table == unix.RT_TABLE_UNSPEC { // a question
		protocol = unix.RTPROT_UNSPEC
	}
	return []byte{family, uint8(bits), 0, 0, table, protocol, scope, kind, 0, 0, 0, 0}
}

// parseAddress reads the message of an address. IFA_LOCAL is the link's own where IFA_ADDRESS may be that of its peer.
func parseAddress(body []byte) (a Address, err error) {
	if len(body) < unix.SizeofIfAddrmsg {
		return a, fmt.Errorf("%w: an address of %d bytes", ErrMalformed, len(body))
	}
	bits := int(body[1])
	a.Link = int(int32(binary.NativeEndian.Uint32(body[4:])))
	var local, other netip.Addr
	err = Attributes(body[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) error {
		switch kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case unix.IFA_ADDRESS:
			other, _ = netip.AddrFromSlice(value)
		}
		return nil
	})
	if !local.IsValid() {
		local = other
	}
	if a.Prefix = netip.PrefixFrom(local, bits); err == nil && !a.Prefix.IsValid() {
		err = fmt.Errorf("%w: an address of family %d", ErrMalformed, body[0])
	}
	return a, err
}

// parseRoute reads the message of a route; ok tells whether it is one that Routes lists.
func parseRoute(body []byte) (r Route, ok bool, err error) {
	if len(body) < unix.SizeofRtMsg {
		return r, false, fmt.Errorf("%w: a route of %d bytes", ErrMalformed, len(body))
	}
	bits, table, kind := int(body[1]), uint32(body[4]), body[7]
	destination := netip.IPv6Unspecified()
	if body[0] == unix.AF_INET {
		destination = netip.IPv4Unspecified()
	}
	err = Attributes(body[unix.SizeofRtMsg:], func(kind uint16, value []byte) error {
		switch kind {
		case unix.RTA_DST:
			destination, _ = netip.AddrFromSlice(value)
		case unix.RTA_GATEWAY:
			r.Gateway, _ = netip.AddrFromSlice(value)
		case unix.RTA_OIF:
			r.Link = int(Uint32(value))
		case unix.RTA_PRIORITY:
			r.Metric = int(Uint32(value))
		case unix.RTA_TABLE:
			table = Uint32(value)
		}
		return nil
	})
	r.Destination = netip.PrefixFrom(destination, bits)
	ok = r.Destination.IsValid() && table == unix.RT_TABLE_MAIN && kind == unix.RTN_UNICAST && r.Link != 0 &&
		(body[0] == unix.AF_INET || body[0] == unix.AF_INET6)
	return r, ok && err == nil, err
}
