package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/nft"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Drift compares what Attach and Publish made for a name with what the kernel has: the bridge, both ends of the pair of links, addresses, routes, and the table of
// published ports. What somebody added is not looked at. It changes nothing; Mend puts back what is Repairable.
func (n *Node) Drift(ctx context.Context, name string, sandbox *os.File, want spec.Network) (drifts []spec.Drift, err error) {
	host, end, err := n.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	inside, err := netlink.Dial(sandbox, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer inside.Close()
	c := comparison{Node: n, host: host, inside: inside, want: want, has: n.state.Names[name]}
	for _, look := range []func() error{func() error { return c.outer(name) }, c.inner, c.rules} {
		if err := look(); err != nil {
			return nil, fmt.Errorf("cannot compare the network of %q: %w", name, err)
		}
	}
	return c.drifts, nil
}

// comparison is what is wanted of one name, and what differs.
type comparison struct {
	*Node
	host, inside *netlink.Conn
	want         spec.Network
	has          held
	drifts       []spec.Drift
}

// differs notes what differs, if it does.
func (c *comparison) differs(field, found, wanted string) {
	if found != wanted {
		c.drifts = append(c.drifts, spec.Drift{Field: field, Found: found, Wanted: wanted, Repairable: true})
	}
}

// outer compares the node's side: the bridge with its addresses, and what is plugged into it.
func (c *comparison) outer(name string) error {
	bridge := or(c.want.Bridge, spec.DefaultBridge)
	plug, err := c.link(c.host, "network.bridge", bridge)
	if err != nil || plug.Index == 0 {
		return err
	}
	if plug.Group == Group {
		addresses, err := c.host.Addresses()
		if err != nil {
			return err
		}
		c.missing("network.bridge", of(addresses, plug.Index), c.state.Bridges[bridge].Addresses)
	}
	link, err := c.link(c.host, "network.link", LinkName(name))
	if err != nil || link.Index == 0 {
		return err
	}
	if link.Master != plug.Index {
		c.differs("network.link", "plugged into "+strconv.Itoa(link.Master), "plugged into "+bridge)
	}
	return nil
}

// link finds a link, and notes what is not as it should be of it.
func (c *comparison) link(conn *netlink.Conn, field, name string) (netlink.Link, error) {
	link, err := conn.Link(name)
	switch {
	case netlink.IsAbsent(err):
		c.differs(field, "", name)
		return netlink.Link{}, nil
	case err != nil:
		return link, err
	case !link.Up:
		c.differs(field, name+" down", name+" up")
	}
	return link, nil
}

// missing notes addresses that are wanted and not there.
func (c *comparison) missing(field string, have, want []netip.Prefix) {
	for _, p := range want {
		if !slices.Contains(have, p) {
			c.differs(field, "", p.String())
		}
	}
}

// inner compares the container's side. An interface that is not there has nothing else.
func (c *comparison) inner() error {
	if err := c.loopback(); err != nil {
		return err
	}
	link, err := c.link(c.inside, "network.interface", or(c.want.Interface, spec.DefaultInterface))
	if err != nil || link.Index == 0 {
		return err
	}
	if c.want.MTU != 0 {
		c.differs("network.mtu", strconv.Itoa(link.MTU), strconv.Itoa(c.want.MTU))
	}
	addresses, err := c.inside.Addresses()
	if err != nil {
		return err
	}
	c.missing("network.address", of(addresses, link.Index), c.has.Addresses)
	return c.routes(link)
}

func (c *comparison) loopback() error {
	lo, err := c.inside.LinkAt(loopback0)
	if err == nil && !lo.Up {
		c.differs("network.loopback", "lo down", "lo up")
	}
	return err
}

// routes compares routes. Another way to the same destination is the container's, or its user's tools', unless the manifest says this one: a second route beside it
// would not be taken, and theirs is not taken away.
func (c *comparison) routes(link netlink.Link) error {
	wanted, err := routes(c.want.Routes, c.gateways())
	if err != nil {
		return err
	}
	have, err := c.inside.Routes()
	if err != nil {
		return err
	}
	for i, w := range wanted {
		same := func(r netlink.Route) bool { return r.Destination == w.Destination.Masked() && r.Metric == metricOf(w) }
		at := slices.IndexFunc(have, same)
		said := i < len(c.want.Routes)
		switch {
		case at < 0:
			c.differs("network.routes["+w.Destination.String()+"]", "", viaText(w))
		case said && (have[at].Gateway != w.Gateway || have[at].Link != link.Index):
			c.drifts = append(c.drifts, spec.Drift{Field: "network.routes[" + w.Destination.String() + "]", Found: viaText(have[at]), Wanted: viaText(w)})
		}
	}
	return nil
}

// metricOf is what a route without a metric gets: IP6_RT_PRIO_USER of linux/ipv6_route.h.
func metricOf(r netlink.Route) int {
	if r.Metric == 0 && r.Destination.Addr().Is6() {
		return 1024
	}
	return r.Metric
}

func viaText(r netlink.Route) string {
	if !r.Gateway.IsValid() {
		return "direct"
	}
	return "via " + r.Gateway.String()
}

// gateways are where the name's default routes lead, as its attachment has it.
func (c *comparison) gateways() (list []netip.Addr) {
	own := c.state.Bridges[or(c.want.Bridge, spec.DefaultBridge)].Addresses
	for i, address := range c.has.Addresses {
		said := c.want.Gateway
		if i > 0 || address.Addr().Is6() {
			said = c.want.Gateway6
		}
		if g := gateway(address, said, own); g.IsValid() {
			list = append(list, g)
		}
	}
	return list
}

// rules compares the table of published ports, and what lets packets through at all.
func (c *comparison) rules() error {
	t, err := c.wantedTable(c.host)
	if err != nil {
		return err
	}
	conn, err := netlink.Dial(c.config.Host, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer conn.Close()
	what, err := nft.Lacks(conn, t)
	if err != nil {
		return err
	}
	if what != "" {
		c.differs("network.ports", what, "nftables table inet "+t.Name)
	}
	return netlink.Inside(c.config.Host, func() error {
		text, err := os.ReadFile(filepath.Join("/proc/sys/net", forward4))
		if err == nil {
			c.differs("network.forwarding", "net.ipv4.ip_forward="+strings.TrimSpace(string(text)), "net.ipv4.ip_forward=1")
		}
		return ignoreAbsent(err)
	})
}

const forward4 = "ipv4/ip_forward"

// wantedTable is the table of all names.
func (n *Node) wantedTable(host *netlink.Conn) (nft.Table, error) {
	subnets, err := n.subnets(host)
	if err != nil {
		return nft.Table{}, err
	}
	all, err := n.forwards()
	return table(subnets, all), err
}

// Mend puts back what Drift finds of a name. What is there stays, and so do connections, but those of a pair of links that was taken away or plugged in elsewhere.
func (n *Node) Mend(ctx context.Context, name string, sandbox *os.File, want spec.Network) (err error) {
	if _, err := n.Attach(ctx, name, sandbox, want); err != nil {
		return err
	}
	host, end, err := n.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	inside, err := netlink.Dial(sandbox, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer inside.Close()
	var u undo
	defer u.run(&err)
	a, err := n.plan(host, name, want, &u)
	if err != nil {
		return err
	}
	if err := a.mend(host, inside, want); err != nil {
		return fmt.Errorf("cannot mend the network of %q: %w", name, err)
	}
	if err := a.configure(inside, sandbox); err != nil {
		return fmt.Errorf("cannot mend the network of %q: %w", name, err)
	}
	return errors.Join(forwarding(n.config.Host, false), n.mendRules(host))
}

// mend brings the links up, with the MTU that is said.
func (a attachment) mend(host, inside *netlink.Conn, want spec.Network) error {
	outer, err := host.Link(a.Link)
	if err != nil {
		return err
	}
	inner, err := inside.Link(a.Interface)
	if err != nil {
		return err
	}
	if want.MTU != 0 && (outer.MTU != want.MTU || inner.MTU != want.MTU) {
		if err := errors.Join(host.SetMTU(outer.Index, want.MTU), inside.SetMTU(inner.Index, want.MTU)); err != nil {
			return err
		}
	}
	return errors.Join(host.Up(a.plug.index), host.Up(outer.Index))
}

// mendRules writes the table anew if a rule of it is lost, which Attach cannot see.
func (n *Node) mendRules(host *netlink.Conn) error {
	t, err := n.wantedTable(host)
	if err != nil {
		return err
	}
	conn, err := netlink.Dial(n.config.Host, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer conn.Close()
	if what, err := nft.Lacks(conn, t); err != nil || what == "" {
		return err
	}
	if err := nft.Remove(conn, t.Name); err != nil {
		return err
	}
	return n.apply(host)
}

// LoopbackIsUp tells whether lo is up in a network namespace.
func LoopbackIsUp(ns *os.File) (up bool, err error) {
	conn, err := netlink.Dial(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	lo, err := conn.LinkAt(loopback0)
	return lo.Up, err
}
