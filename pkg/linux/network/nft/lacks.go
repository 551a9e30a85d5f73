package nft

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
)

// Lacks says what of a table is not there: the table, an element of a map, or a rule, of which only the number is compared, because a rule is never written but with its table;
// "" when nothing is missing.
func Lacks(c *netlink.Conn, t Table) (what string, err error) {
	comment, exists, err := Comment(c, t.Name)
	switch {
	case err != nil:
		return "", err
	case !exists:
		return "no table " + t.Name, nil
	case comment != t.Comment:
		return "another table " + t.Name, nil
	}
	for _, m := range t.Maps {
		stand, err := elements(c, t.Name, m.Name)
		if err != nil {
			return "", fmt.Errorf("cannot read map %s of nftables table %s: %w", m.Name, t.Name, err)
		}
		if n := len(without(m.Elements, stand)); n > 0 {
			return fmt.Sprintf("map %s without %d of its elements", m.Name, n), nil
		}
	}
	counts, err := rules(c, t.Name)
	if err != nil {
		return "", err
	}
	for _, chain := range t.Chains {
		if counts[chain.Name] < len(chain.Rules) {
			return fmt.Sprintf("chain %s with %d of %d rules", chain.Name, counts[chain.Name], len(chain.Rules)), nil
		}
	}
	return "", nil
}

// rules counts the rules of a table's chains.
func rules(c *netlink.Conn, table string) (map[string]int, error) {
	r := request(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP)
	r.Text(unix.NFTA_RULE_TABLE, table)
	answers, err := c.Ask(r)
	if err != nil {
		return nil, fmt.Errorf("cannot list the rules of nftables table %s: %w", table, err)
	}
	counts := map[string]int{}
	for _, a := range answers {
		if len(a.Body) < genmsgSize {
			return nil, netlink.ErrMalformed
		}
		of, chain := "", ""
		if err := netlink.Attributes(a.Body[genmsgSize:], func(kind uint16, value []byte) error {
			switch kind {
			case unix.NFTA_RULE_TABLE:
				of = strings.TrimRight(string(value), "\x00")
			case unix.NFTA_RULE_CHAIN:
				chain = strings.TrimRight(string(value), "\x00")
			}
			return nil
		}); err != nil {
			return nil, err
		}
		if of == table {
			counts[chain]++
		}
	}
	return counts, nil
}
