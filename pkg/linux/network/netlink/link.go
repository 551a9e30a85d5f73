package netlink

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Link is a network interface as the kernel shows it.
type Link struct {
	Index  int
	Name   string
	Alias  string // free text: `ip link set alias`
	Kind   string // bridge, veth, ...; "" for most hardware
	Up     bool
	MTU    int
	MAC    net.HardwareAddr
	Master int    // index of the bridge it is plugged into, 0 for none
	Group  uint32 // a number to find links by
	Peer   int    // of a veth: the other end's index in its own namespace
	PeerNS int    // and that namespace's number here, see NamespaceID; Here when it is this one
}

// Here stands for the namespace of the Conn.
const Here = -1

// Link finds a link by its name. One that is not there is unix.ENODEV.
func (c *Conn) Link(name string) (Link, error) {
	r := NewRequest(unix.RTM_GETLINK, 0, linkHeader(0, 0, 0))
	r.Text(unix.IFLA_IFNAME, name)
	return c.link(r, name)
}

// LinkAt finds a link by its index. One that is not there is unix.ENODEV.
func (c *Conn) LinkAt(index int) (Link, error) {
	return c.link(NewRequest(unix.RTM_GETLINK, 0, linkHeader(index, 0, 0)), fmt.Sprint(index))
}

func (c *Conn) link(r *Request, name string) (Link, error) {
	answers, err := c.Ask(r)
	if err != nil {
		return Link{}, fmt.Errorf("cannot find link %s: %w", name, err)
	}
	if len(answers) != 1 {
		return Link{}, fmt.Errorf("cannot find link %s: %w: %d answers", name, ErrMalformed, len(answers))
	}
	return parseLink(answers[0].Body)
}

// Links are all links of the namespace.
func (c *Conn) Links() ([]Link, error) {
	return c.links(NewRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP, linkHeader(0, 0, 0)))
}

// Ports are the links that are plugged into a bridge.
func (c *Conn) Ports(bridge int) ([]Link, error) {
	r := NewRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP, linkHeader(0, 0, 0))
	r.Uint32(unix.IFLA_MASTER, uint32(bridge))
	links, err := c.links(r)
	return slices.DeleteFunc(links, func(l Link) bool { return l.Master != bridge }), err // older kernels give all
}

func (c *Conn) links(r *Request) ([]Link, error) {
	answers, err := c.Ask(r)
	if err != nil {
		return nil, fmt.Errorf("cannot list links: %w", err)
	}
	links := make([]Link, 0, len(answers))
	for _, a := range answers {
		link, err := parseLink(a.Body)
		if err != nil {
			return nil, fmt.Errorf("cannot list links: %w", err)
		}
		links = append(links, link)
	}
	return links, nil
}

// Bridge is a bridge to be made.
type Bridge struct {
	Name  string
	MAC   net.HardwareAddr // said, so that it does not change with what is plugged in
	Group uint32
}

// AddBridge makes a bridge and brings it up. One of the name that exists is unix.EEXIST.
func (c *Conn) AddBridge(b Bridge) error {
	r := NewRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, linkHeader(0, unix.IFF_UP, unix.IFF_UP))
	r.Text(unix.IFLA_IFNAME, b.Name)
	r.Bytes(unix.IFLA_ADDRESS, b.MAC)
	r.Uint32(unix.IFLA_GROUP, b.Group)
	r.Nest(unix.IFLA_LINKINFO, func() { r.Text(unix.IFLA_INFO_KIND, "bridge") })
	if err := c.Do(r); err != nil {
		return fmt.Errorf("cannot make bridge %s: %w", b.Name, err)
	}
	return nil
}

// Veth is a pair of links to be made: one end here, the other in another namespace.
type Veth struct {
	Name   string
	Master int // the bridge it is plugged into
	MTU    int // of both ends
	Group  uint32
	Peer   string // the other end's name
	MAC    net.HardwareAddr
	PeerNS *os.File
}

// AddVeth makes a pair in one step: the end here is plugged in and up, the other stands in its namespace under its name, down. An
// existing link of either name is unix.EEXIST.
func (c *Conn) AddVeth(v Veth) error {
	r := NewRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, linkHeader(0, unix.IFF_UP, unix.IFF_UP))
	r.Text(unix.IFLA_IFNAME, v.Name)
	r.Uint32(unix.IFLA_MTU, uint32(v.MTU))
	r.Uint32(unix.IFLA_MASTER, uint32(v.Master))
	r.Uint32(unix.IFLA_GROUP, v.Group)
	r.Nest(unix.IFLA_LINKINFO, func() {
		r.Text(unix.IFLA_INFO_KIND, "veth")
		r.Nest(unix.IFLA_INFO_DATA, func() {
			r.Nest(vethInfoPeer, func() {
				r.Raw(linkHeader(0, 0, 0))
				r.Text(unix.IFLA_IFNAME, v.Peer)
				r.Uint32(unix.IFLA_MTU, uint32(v.MTU))
				r.Bytes(unix.IFLA_ADDRESS, v.MAC)
				r.Uint32(unix.IFLA_NET_NS_FD, uint32(v.PeerNS.Fd()))
			})
		})
	})
	if err := c.Do(r); err != nil {
		return fmt.Errorf("cannot make veth pair %s and %s: %w", v.Name, v.Peer, err)
	}
	return nil
}

// vethInfoPeer is VETH_INFO_PEER of linux/veth.h.
const vethInfoPeer = 1

// NamespaceID is the number that the Conn's namespace has given another one; Here when it has given none. See
// RTM_GETNSID and Link.PeerNS.
func (c *Conn) NamespaceID(ns *os.File) (int, error) {
	r := NewRequest(unix.RTM_GETNSID, 0, []byte{unix.AF_UNSPEC})
	r.Uint32(unix.NETNSA_FD, uint32(ns.Fd()))
	answers, err := c.Ask(r)
	if err != nil {
		return 0, fmt.Errorf("cannot find network namespace %s: %w", ns.Name(), err)
	}
	id := Here
	for _, a := range answers {
		if len(a.Body) < 4 { // struct rtgenmsg, padded
			return 0, fmt.Errorf("cannot find network namespace %s: %w", ns.Name(), ErrMalformed)
		}
		if err := Attributes(a.Body[4:], func(kind uint16, value []byte) error {
			if kind == unix.NETNSA_NSID {
				id = int(int32(Uint32(value)))
			}
			return nil
		}); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// linkHeader is a struct ifinfomsg.
func linkHeader(index int, flags, change uint32) []byte {
	b := make([]byte, 4, unix.SizeofIfInfomsg) // family, padding, type
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	b = binary.NativeEndian.AppendUint32(b, flags)
	return binary.NativeEndian.AppendUint32(b, change)
}

// parseLink reads the message of a link.
func parseLink(body []byte) (l Link, err error) {
	if len(body) < unix.SizeofIfInfomsg {
		return l, fmt.Errorf("%w: a link of %d bytes", ErrMalformed, len(body))
	}
	l.Index = int(int32(binary.NativeEndian.Uint32(body[4:])))
	l.Up = binary.NativeEndian.Uint32(body[8:])&unix.IFF_UP != 0
	l.PeerNS = Here
	err = Attributes(body[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) error {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = Text(value)
		case unix.IFLA_IFALIAS:
			l.Alias = Text(value)
		case unix.IFLA_MTU:
			l.MTU = int(Uint32(value))
		case unix.IFLA_ADDRESS:
			l.MAC = append(net.HardwareAddr(nil), value...)
		case unix.IFLA_MASTER:
			l.Master = int(Uint32(value))
		case unix.IFLA_GROUP:
			l.Group = Uint32(value)
		case unix.IFLA_LINK:
			l.Peer = int(Uint32(value))
		case unix.IFLA_LINK_NETNSID:
			l.PeerNS = int(int32(Uint32(value)))
		case unix.IFLA_LINKINFO:
			return Attributes(value, func(kind uint16, value []byte) error {
				if kind == unix.IFLA_INFO_KIND {
					l.Kind = Text(value)
				}
				return nil
			})
		}
		return nil
	})
	return l, err
}
