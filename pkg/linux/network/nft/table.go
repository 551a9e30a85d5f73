// Package nft writes tables of nf_tables: a table is a value with maps, chains and rules, and replaces the one of its name in one
// transaction. It knows the kernel's expressions; it refuses to know what packets are meant to do.
package nft

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
)

// Table is a whole table of the family inet, which sees IPv4 and IPv6.
type Table struct {
	Name    string
	Comment string // at most 200 bytes, shown by `nft list table` and given back by Comment
	Maps    []Map
	Chains  []Chain
}

// Map is a map from keys to values, both made of fields that take four bytes or a multiple each.
type Map struct {
	Name      string
	Key, Data []Field
	Elements  []Element
}

// Field is a field of a key or value, known to the kernel by its size and to nft(8) by its type.
type Field struct{ Type, Size uint32 }

// The fields, with the numbers of nft(8): enum datatypes in nftables' include/datatype.h.
var (
	FieldIPv4     = Field{7, 4}
	FieldIPv6     = Field{8, 16}
	FieldProtocol = Field{12, 4}
	FieldPort     = Field{13, 4}
)

// Chain is a list of rules at a hook of netfilter. What no rule decides is accepted.
type Chain struct {
	Name     string
	Kind     string // filter or nat
	Hook     uint32 // unix.NF_INET_PRE_ROUTING say
	Priority int32
	Rules    []Rule
}

// Rule is a list of expressions, each of which may end the rule.
type Rule []Expression

// Replace puts a table in the place of the one of its name, if there is one, in one transaction: no packet meets half of it.
// Connections that are open go on, because what was translated is kept by the connection.
func Replace(c *netlink.Conn, t Table) error {
	// A table is made before it is deleted, so that the deletion finds one.
	requests := []*netlink.Request{tableRequest(unix.NFT_MSG_NEWTABLE, t.Name, ""), tableRequest(unix.NFT_MSG_DELTABLE, t.Name, ""), tableRequest(unix.NFT_MSG_NEWTABLE, t.Name, t.Comment)}
	for i, m := range t.Maps {
		requests = append(requests, mapRequest(t.Name, i, m))
		requests = append(requests, elementRequests(unix.NFT_MSG_NEWSETELEM, t.Name, m.Name, m.Elements)...)
	}
	for _, chain := range t.Chains {
		requests = append(requests, chainRequest(t.Name, chain))
		for _, rule := range chain.Rules {
			requests = append(requests, ruleRequest(t.Name, chain.Name, rule))
		}
	}
	if err := c.Batch(unix.NFNL_SUBSYS_NFTABLES, requests...); err != nil {
		return fmt.Errorf("cannot replace nftables table %s: %w", t.Name, err)
	}
	return nil
}

// Remove takes a table away. One that is not there is no error.
func Remove(c *netlink.Conn, name string) error {
	err := c.Batch(unix.NFNL_SUBSYS_NFTABLES, tableRequest(unix.NFT_MSG_NEWTABLE, name, ""), tableRequest(unix.NFT_MSG_DELTABLE, name, ""))
	if err != nil {
		return fmt.Errorf("cannot remove nftables table %s: %w", name, err)
	}
	return nil
}

// Comment is the comment of a table; exists is false when there is no such table.
func Comment(c *netlink.Conn, name string) (comment string, exists bool, err error) {
	answers, err := c.Ask(tableRequest(unix.NFT_MSG_GETTABLE, name, ""))
	if errors.Is(err, unix.ENOENT) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("cannot look for nftables table %s: %w", name, err)
	}
	for _, a := range answers {
		if len(a.Body) < genmsgSize {
			return "", false, fmt.Errorf("cannot look for nftables table %s: %w", name, netlink.ErrMalformed)
		}
		if err := netlink.Attributes(a.Body[genmsgSize:], func(kind uint16, value []byte) error {
			if kind == tableUserdata {
				comment = readComment(value)
			}
			return nil
		}); err != nil {
			return "", false, err
		}
	}
	return comment, true, nil
}

const (
	genmsgSize    = 4 // sizeof(struct nfgenmsg)
	tableUserdata = 6 // NFTA_TABLE_USERDATA, since Linux 5.10: older kernels forget comments
	commentMax    = 200
)

// writeComment is a comment as nft(8) keeps it: kind 0, length, text with its NUL (NFTNL_UDATA_TABLE_COMMENT).
func writeComment(text string) []byte {
	text = text[:min(len(text), commentMax)] + "\x00"
	return append([]byte{0, byte(len(text))}, text...)
}

func readComment(data []byte) string {
	if len(data) < 2 || data[0] != 0 || int(data[1]) > len(data)-2 {
		return ""
	}
	return netlink.Text(data[2 : 2+data[1]])
}

func request(kind, flags uint16) *netlink.Request {
	return netlink.NewRequest(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags, netlink.Netfilter(unix.NFPROTO_INET, 0))
}

func tableRequest(kind uint16, name, comment string) *netlink.Request {
	flags := uint16(0)
	if kind == unix.NFT_MSG_NEWTABLE {
		flags = unix.NLM_F_CREATE
	}
	r := request(kind, flags)
	r.Text(unix.NFTA_TABLE_NAME, name)
	if comment != "" {
		r.Bytes(tableUserdata, writeComment(comment))
	}
	return r
}

func mapRequest(table string, number int, m Map) *netlink.Request {
	r := request(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	r.Text(unix.NFTA_SET_TABLE, table)
	r.Text(unix.NFTA_SET_NAME, m.Name)
	r.Big32(unix.NFTA_SET_FLAGS, unix.NFT_SET_MAP)
	keyType, keySize := concatenated(m.Key)
	dataType, dataSize := concatenated(m.Data)
	r.Big32(unix.NFTA_SET_KEY_TYPE, keyType)
	r.Big32(unix.NFTA_SET_KEY_LEN, keySize)
	r.Big32(unix.NFTA_SET_DATA_TYPE, dataType)
	r.Big32(unix.NFTA_SET_DATA_LEN, dataSize)
	r.Big32(unix.NFTA_SET_ID, uint32(number+1))
	return r
}

// concatenated is the type of several fields: six bits for each (TYPE_BITS of nftables).
func concatenated(fields []Field) (kind, size uint32) {
	for _, f := range fields {
		kind, size = kind<<6|f.Type, size+f.Size
	}
	return kind, size
}

func chainRequest(table string, c Chain) *netlink.Request {
	r := request(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE)
	r.Text(unix.NFTA_CHAIN_TABLE, table)
	r.Text(unix.NFTA_CHAIN_NAME, c.Name)
	r.Nest(unix.NFTA_CHAIN_HOOK, func() {
		r.Big32(unix.NFTA_HOOK_HOOKNUM, c.Hook)
		r.Big32(unix.NFTA_HOOK_PRIORITY, uint32(c.Priority))
	})
	r.Big32(unix.NFTA_CHAIN_POLICY, uint32(Accept))
	r.Text(unix.NFTA_CHAIN_TYPE, c.Kind)
	return r
}

func ruleRequest(table, chain string, rule Rule) *netlink.Request {
	r := request(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	r.Text(unix.NFTA_RULE_TABLE, table)
	r.Text(unix.NFTA_RULE_CHAIN, chain)
	r.Nest(unix.NFTA_RULE_EXPRESSIONS, func() {
		for _, e := range rule {
			r.Nest(unix.NFTA_LIST_ELEM, func() {
				r.Text(unix.NFTA_EXPR_NAME, e.Name)
				r.Nest(unix.NFTA_EXPR_DATA, func() { write(r, e.Attributes) })
			})
		}
	})
	return r
}

func write(r *netlink.Request, attributes []Attribute) {
	for _, a := range attributes {
		if a.Nested != nil {
			r.Nest(a.Kind, func() { write(r, a.Nested) })
			continue
		}
		r.Bytes(a.Kind, a.Value)
	}
}

// Tables are the names of all tables of the family inet.
func Tables(c *netlink.Conn) (names []string, err error) {
	answers, err := c.Ask(request(unix.NFT_MSG_GETTABLE, unix.NLM_F_DUMP))
	if err != nil {
		return nil, fmt.Errorf("cannot list nftables tables: %w", err)
	}
	for _, a := range answers {
		if len(a.Body) < genmsgSize {
			return nil, fmt.Errorf("cannot list nftables tables: %w", netlink.ErrMalformed)
		}
		if err := netlink.Attributes(a.Body[genmsgSize:], func(kind uint16, value []byte) error {
			if kind == unix.NFTA_TABLE_NAME {
				names = append(names, strings.TrimRight(string(value), "\x00"))
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return names, nil
}
