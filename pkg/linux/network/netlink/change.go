package netlink

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// SetPort changes a link that is plugged into a bridge: its alias, and whether frames may go out where they came in.
func (c *Conn) SetPort(index int, alias string, hairpin bool) error {
	return c.change("set up bridge port", index, func(r *Request) {
		r.Text(unix.IFLA_IFALIAS, alias)
		r.Nest(unix.IFLA_LINKINFO, func() {
			r.Text(unix.IFLA_INFO_SLAVE_KIND, "bridge")
			r.Nest(unix.IFLA_INFO_SLAVE_DATA, func() { r.Uint8(unix.IFLA_BRPORT_MODE, flag(hairpin)) })
		})
	})
}

// SetMaster plugs a link into a bridge.
func (c *Conn) SetMaster(index, bridge int) error {
	return c.change("plug in", index, func(r *Request) { r.Uint32(unix.IFLA_MASTER, uint32(bridge)) })
}

// SetMTU changes the longest packet of a link.
func (c *Conn) SetMTU(index, mtu int) error {
	return c.change("set the MTU of", index, func(r *Request) { r.Uint32(unix.IFLA_MTU, uint32(mtu)) })
}

// SetMAC changes the hardware address of a link.
func (c *Conn) SetMAC(index int, mac net.HardwareAddr) error {
	return c.change("set the MAC address of", index, func(r *Request) { r.Bytes(unix.IFLA_ADDRESS, mac) })
}

// SetName renames a link.
func (c *Conn) SetName(index int, name string) error {
	return c.change("rename", index, func(r *Request) { r.Text(unix.IFLA_IFNAME, name) })
}

func (c *Conn) change(what string, index int, fill func(*Request)) error {
	r := NewRequest(unix.RTM_NEWLINK, 0, linkHeader(index, 0, 0))
	fill(r)
	return about(what, index, c.Do(r))
}

// Up brings a link up.
func (c *Conn) Up(index int) error {
	return about("bring up", index, c.Do(NewRequest(unix.RTM_NEWLINK, 0, linkHeader(index, unix.IFF_UP, unix.IFF_UP))))
}

// Delete takes a link away; of a veth pair both ends go. One that is not there is no error.
func (c *Conn) Delete(index int) error {
	err := c.Do(NewRequest(unix.RTM_DELLINK, 0, linkHeader(index, 0, 0)))
	if IsAbsent(err) {
		return nil
	}
	return about("delete", index, err)
}

func flag(on bool) uint8 {
	if on {
		return 1
	}
	return 0
}

func about(what string, index int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s link %d: %w", what, index, err)
}
