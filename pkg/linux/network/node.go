package network

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
)

// Group is the number that all links of ours have (`ip link show group 1380270927`), from the moment they are made: "RECO".
const Group = 0x5245434f

// Config says where a Node works.
type Config struct {
	// Host is the network namespace with the bridges; nil is the process's own.
	Host *os.File
	// Dir is a directory that outlives the process and has no other user.
	Dir string
	// Subnet is cut into the subnets of bridges. Default DefaultSubnet.
	Subnet netip.Prefix
	// Log hears what was mended. The zero Logger is silent.
	Log logr.Logger
}

// Node attaches sandboxes to bridges of a node and publishes their ports. Every verb may be repeated and looks at the kernel first.
// Its methods can be called from several goroutines; two Nodes must not work in one namespace.
//
// What it makes on the node: bridges and veth ends, all of the group Group; the nftables table inet TableName; a file in Dir. What it
// changes: net.ipv4.ip_forward (and net.ipv6.conf.all.forwarding for a bridge with an IPv6 address, after it has told links that
// learn their addresses from routers to go on doing so) is set to 1 and stays so. When the last name is forgotten nothing else is left.
type Node struct {
	config Config

	mu    sync.Mutex
	state state
	saved []byte // the file's content
}

// NewNode makes a Node of what the last one left: its file, and links that are there.
func NewNode(config Config) (*Node, error) {
	if !config.Subnet.IsValid() {
		config.Subnet = DefaultSubnet
	}
	if config.Subnet.Bits() > config.Subnet.Addr().BitLen()-2 {
		return nil, invalid("the subnet %s has no room for a bridge and a container", config.Subnet)
	}
	if config.Log.GetSink() == nil {
		config.Log = logr.Discard()
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of networks: %w", err)
	}
	s, err := loadState(config.Dir)
	if err != nil {
		config.Log.Error(err, "addresses of containers that are not attached are forgotten")
	}
	n := &Node{config: config, state: s}
	host, err := n.dial()
	if err != nil {
		return nil, err
	}
	defer host.Close()
	if err := n.adopt(host); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *Node) dial() (*netlink.Conn, error) { return netlink.Dial(n.config.Host, unix.NETLINK_ROUTE) }

// adopt takes bridges and addresses from the kernel that the file does not have: the links of ours tell what they are.
func (n *Node) adopt(host *netlink.Conn) error {
	links, err := host.Links()
	if err != nil {
		return err
	}
	addresses, err := host.Addresses()
	if err != nil {
		return err
	}
	names := map[int]string{}
	for _, l := range links {
		if l.Group != Group || l.Kind != "bridge" {
			continue
		}
		names[l.Index] = l.Name
		if own := of(addresses, l.Index); len(own) > 0 {
			known := n.state.Bridges[l.Name]
			known.Addresses = own
			n.state.Bridges[l.Name] = known
		}
	}
	for _, l := range links {
		name, held, ok := readAlias(l.Alias)
		if l.Group != Group || !ok || l.Name != LinkName(name) {
			continue
		}
		if held.Bridge = names[l.Master]; held.Bridge == "" {
			if at := slices.IndexFunc(links, func(m netlink.Link) bool { return m.Index == l.Master }); at >= 0 {
				held.Bridge = links[at].Name
			}
		}
		held.Ports = n.state.Names[name].Ports
		n.state.Names[name] = held
	}
	return nil
}

// of are the addresses of a link that are not the kernel's own making.
func of(addresses []netlink.Address, link int) (list []netip.Prefix) {
	for _, a := range addresses {
		if a.Link == link && !a.Prefix.Addr().IsLinkLocalUnicast() {
			list = append(list, a.Prefix)
		}
	}
	return list
}

// linkNameMax is IFNAMSIZ without the NUL.
const linkNameMax = unix.IFNAMSIZ - 1

// LinkName is the node's end of a name's pair of links. A name is longer than a link's name may be, so it is hashed; the link's
// alias has it in full.
func LinkName(name string) string {
	sum := sha256.Sum256([]byte(name))
	hash := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))
	return "veth" + hash[:linkNameMax-len("veth")]
}

// writeAlias says in a link's alias what it is: name, addresses, and a fingerprint of all that was asked for. It is written when all is done.
func writeAlias(name string, addresses []netip.Prefix, fingerprint string) string {
	words := []string{name}
	for _, a := range addresses {
		words = append(words, a.String())
	}
	return strings.Join(append(words, "#"+fingerprint), " ")
}

func readAlias(alias string) (name string, h held, ok bool) {
	words := strings.Fields(alias)
	if len(words) < 3 || !strings.HasPrefix(words[len(words)-1], "#") {
		return "", held{}, false
	}
	for _, w := range words[1 : len(words)-1] {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			return "", held{}, false
		}
		h.Addresses = append(h.Addresses, p)
	}
	return words[0], h, true
}

// undo is what takes back what was done, the last first.
type undo []func() error

func (u *undo) add(f func() error) { *u = append(*u, f) }

// run takes everything back if *err is not nil, and adds what could not be.
func (u *undo) run(err *error) {
	if *err == nil {
		return
	}
	for _, f := range slices.Backward(*u) {
		*err = errors.Join(*err, f())
	}
}

// change replaces the state, on disk too.
func (n *Node) change(s state) (err error) {
	n.state = s
	n.saved, err = s.save(n.config.Dir, n.saved)
	return err
}

// begin takes the lock for a verb and opens a socket; end gives both back.
func (n *Node) begin(ctx context.Context) (host *netlink.Conn, end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	n.mu.Lock()
	host, err = n.dial()
	if err != nil {
		n.mu.Unlock()
		return nil, nil, err
	}
	return host, func() {
		host.Close()
		n.mu.Unlock()
	}, nil
}
