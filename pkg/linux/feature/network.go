package feature

import (
	"errors"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
)

// What container networks need of the kernel. Both are tried in a network namespace that ends with the probe, so that modules
// are loaded as they would be in use.
var (
	Bridge = &Feature{
		Name: "bridge", Since: "3.0", Purpose: "network.mode Bridge",
		Remedy: "run a kernel with CONFIG_BRIDGE and CONFIG_VETH, or load the modules bridge and veth",
		probe: func() error {
			return inNetwork(unix.NETLINK_ROUTE, func(c *netlink.Conn, ns *os.File) error {
				if err := c.AddBridge(netlink.Bridge{Name: "probe", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}); err != nil {
					return err
				}
				return c.AddVeth(netlink.Veth{Name: "probe0", Peer: "probe1", MTU: 1500, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, PeerNS: ns})
			})
		},
	}
	Nftables = &Feature{
		Name: "nftables", Since: "5.2", Purpose: "published ports, and the way out of a bridge", // nat in the family inet
		Remedy: "run a kernel with CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT and CONFIG_NFT_MASQ, or load the modules nf_tables and nft_chain_nat",
		probe: func() error {
			return inNetwork(unix.NETLINK_NETFILTER, func(c *netlink.Conn, _ *os.File) error { return c.Batch(unix.NFNL_SUBSYS_NFTABLES, natChain()...) })
		},
	}
)

// natChain makes a table with a chain that translates addresses.
func natChain() []*netlink.Request {
	request := func(kind uint16) *netlink.Request {
		return netlink.NewRequest(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_CREATE, netlink.Netfilter(unix.NFPROTO_INET, 0))
	}
	table, chain := request(unix.NFT_MSG_NEWTABLE), request(unix.NFT_MSG_NEWCHAIN)
	table.Text(unix.NFTA_TABLE_NAME, "probe")
	chain.Text(unix.NFTA_CHAIN_TABLE, "probe")
	chain.Text(unix.NFTA_CHAIN_NAME, "probe")
	chain.Nest(unix.NFTA_CHAIN_HOOK, func() {
		chain.Big32(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_PRE_ROUTING)
		chain.Big32(unix.NFTA_HOOK_PRIORITY, 0)
	})
	chain.Text(unix.NFTA_CHAIN_TYPE, "nat")
	return []*netlink.Request{table, chain}
}

// inNetwork tries something in a network namespace of its own, which ends with the probe.
func inNetwork(subsystem int, try func(c *netlink.Conn, ns *os.File) error) error {
	ns, err := newNetwork()
	if err != nil {
		return err
	}
	defer ns.Close()
	c, err := netlink.Dial(ns, subsystem)
	if err != nil {
		return absent(err)
	}
	defer c.Close()
	return absent(try(c, ns))
}

// newNetwork makes a network namespace on a thread of its own for the time. One that does not come home is given to nobody.
func newNetwork() (ns *os.File, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var home *os.File
		if home, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return
		}
		defer home.Close()
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			ns, err = os.Open("/proc/thread-self/ns/net")
		}
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return ns, err
}

// absent tells a part of the network that the kernel is built without, or whose module it does not find, from other errors.
func absent(err error) error {
	for _, errno := range []error{unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.ENOENT} {
		if errors.Is(err, errno) {
			return because("it is built out, or its module cannot be loaded")
		}
	}
	return err
}
