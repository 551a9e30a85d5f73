package nft

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
)

// Element is an entry of a map; see Words.
type Element struct{ Key, Data []byte }

// Update makes the elements of a table's maps those of t, in one transaction, where chains and maps are t's already: what is
// there is left, so that to add a few costs a tenth of replacing the table. It reads the kernel first, and writes nothing when all is as it should be.
func Update(c *netlink.Conn, t Table) error {
	var removals, additions []*netlink.Request
	for _, m := range t.Maps {
		stand, err := elements(c, t.Name, m.Name)
		if err != nil {
			return fmt.Errorf("cannot read map %s of nftables table %s: %w", m.Name, t.Name, err)
		}
		removals = append(removals, elementRequests(unix.NFT_MSG_DELSETELEM, t.Name, m.Name, without(stand, m.Elements))...)
		additions = append(additions, elementRequests(unix.NFT_MSG_NEWSETELEM, t.Name, m.Name, without(m.Elements, stand))...)
	}
	if err := c.Batch(unix.NFNL_SUBSYS_NFTABLES, append(removals, additions...)...); err != nil {
		return fmt.Errorf("cannot update nftables table %s: %w", t.Name, err)
	}
	return nil
}

// without are the elements of a that are not in b.
func without(a, b []Element) (list []Element) {
	there := map[[2]string]bool{}
	for _, e := range b {
		there[e.words()] = true
	}
	for _, e := range a {
		if !there[e.words()] {
			list = append(list, e)
		}
	}
	return list
}

func (e Element) words() [2]string { return [2]string{string(e.Key), string(e.Data)} }

// elements are those that a map has.
func elements(c *netlink.Conn, table, name string) (list []Element, err error) {
	r := request(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP)
	r.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
	r.Text(unix.NFTA_SET_ELEM_LIST_SET, name)
	answers, err := c.Ask(r)
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		if list, err = parseElements(a.Body, list); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// parseElements adds the elements of one message to list.
func parseElements(body []byte, list []Element) ([]Element, error) {
	if len(body) < genmsgSize {
		return nil, netlink.ErrMalformed
	}
	err := netlink.Attributes(body[genmsgSize:], func(kind uint16, value []byte) error {
		if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			return nil
		}
		return netlink.Attributes(value, func(_ uint16, value []byte) error {
			var e Element
			err := netlink.Attributes(value, func(kind uint16, value []byte) (err error) {
				switch kind {
				case unix.NFTA_SET_ELEM_KEY:
					e.Key, err = parseData(value)
				case unix.NFTA_SET_ELEM_DATA:
					e.Data, err = parseData(value)
				}
				return err
			})
			list = append(list, e)
			return err
		})
	})
	return list, err
}

func parseData(value []byte) (data []byte, err error) {
	err = netlink.Attributes(value, func(kind uint16, value []byte) error {
		if kind == unix.NFTA_DATA_VALUE {
			data = value
		}
		return nil
	})
	return data, err
}

// elementRequests add elements to a map, or remove them from it, as many at a time as the length of their list has room for.
func elementRequests(kind uint16, table, name string, list []Element) (requests []*netlink.Request) {
	const most = 256
	flags := uint16(0)
	if kind == unix.NFT_MSG_NEWSETELEM {
		flags = unix.NLM_F_CREATE
	}
	for rest := list; len(rest) > 0; rest = rest[min(most, len(rest)):] {
		r := request(kind, flags)
		r.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
		r.Text(unix.NFTA_SET_ELEM_LIST_SET, name)
		r.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
			for _, e := range rest[:min(most, len(rest))] {
				r.Nest(unix.NFTA_LIST_ELEM, func() {
					r.Nest(unix.NFTA_SET_ELEM_KEY, func() { r.Bytes(unix.NFTA_DATA_VALUE, e.Key) })
					if kind == unix.NFT_MSG_NEWSETELEM {
						r.Nest(unix.NFTA_SET_ELEM_DATA, func() { r.Bytes(unix.NFTA_DATA_VALUE, e.Data) })
					}
				})
			}
		})
		requests = append(requests, r)
	}
	return requests
}

// Words are the fields of a key or value one after the other, each filled up to a multiple of four bytes.
func Words(fields ...[]byte) (b []byte) {
	for _, f := range fields {
		b = append(b, f...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	return b
}

// Port is a port as packets have it.
func Port(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
