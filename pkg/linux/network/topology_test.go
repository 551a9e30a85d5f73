package network_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// world is a node in a network namespace of its own, with a client in another that knows the node alone:
//
//	client 192.168.7.2 ---- 192.168.7.1 node
type world struct {
	*network.Node
	host, client *os.File
	config       network.Config
}

const (
	nodeAddress   = "192.168.7.1"
	clientAddress = "192.168.7.2"
)

func newWorld(t testing.TB) world {
	t.Helper()
	kerneltest.Root(t)
	kerneltest.Require(t, feature.NetworkNamespaces, feature.Bridge, feature.Nftables)
	w := world{host: space(t), client: space(t)}
	host, client := dial(t, w.host), dial(t, w.client)
	must(t, host.AddVeth(netlink.Veth{Name: "wan", MTU: 1480, Peer: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, PeerNS: w.client}))
	wan, err := host.Link("wan")
	must(t, err)
	eth0, err := client.Link("eth0")
	must(t, err)
	must(t, client.Up(eth0.Index))
	for _, p := range []string{nodeAddress + "/24", "fd07::1/64"} {
		must(t, host.AddAddress(netlink.Address{Link: wan.Index, Prefix: netip.MustParsePrefix(p)}))
	}
	for _, p := range []string{clientAddress + "/24", "fd07::2/64"} {
		must(t, client.AddAddress(netlink.Address{Link: eth0.Index, Prefix: netip.MustParsePrefix(p)}))
	}
	must(t, host.AddRoute(netlink.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr(clientAddress), Link: wan.Index}))
	w.config = network.Config{Host: w.host, Dir: t.TempDir()}
	w.Node, err = network.NewNode(w.config)
	must(t, err)
	return w
}

// space is a network namespace with its loopback up.
func space(t testing.TB) *os.File {
	t.Helper()
	s, err := network.Make(spec.NetworkPrivate)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s.Net
}

func dial(t testing.TB, ns *os.File) *netlink.Conn {
	t.Helper()
	c, err := netlink.Dial(ns, unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// container attaches a new sandbox.
func (w world) container(t testing.TB, name string, want spec.Network) (*os.File, network.Result) {
	t.Helper()
	sandbox := space(t)
	want.Mode = spec.NetworkBridge
	r, err := w.Attach(t.Context(), name, sandbox, want)
	must(t, err)
	return sandbox, r
}

// serve answers every line, or datagram, in a namespace with who sent it, until the test ends: "web saw 10.0.0.1:1234: line".
func serve(t testing.TB, ns *os.File, protocol, address, name string) {
	t.Helper()
	must(t, netlink.Inside(ns, func() error {
		if protocol == "udp" {
			return serveUDP(t, address, name)
		}
		l, err := net.Listen(protocol, address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go answer(conn, name)
			}
		}()
		return nil
	}))
}

func answer(conn net.Conn, name string) {
	defer conn.Close()
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		fmt.Fprintf(conn, "%s saw %s: %s\n", name, conn.RemoteAddr(), lines.Text())
	}
}

func serveUDP(t testing.TB, address, name string) error {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(fmt.Appendf(nil, "%s saw %s: %s\n", name, from, strings.TrimSpace(string(buffer[:n]))), from)
		}
	}()
	return nil
}

// patience is how long an answer may take, and how long to wait for one that must not come.
var (
	patience   = kerneltest.Patient(10 * time.Second)
	impatience = 300 * time.Millisecond
)

// call opens a connection from a namespace; the test's end closes it.
func call(t testing.TB, ns *os.File, protocol, address string, wait time.Duration) (conn net.Conn, err error) {
	t.Helper()
	err = netlink.Inside(ns, func() (err error) {
		conn, err = net.DialTimeout(protocol, address, wait)
		return err
	})
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// say sends a line over a connection and gives the answer.
func say(conn net.Conn, line string, wait time.Duration) (string, error) {
	_ = conn.SetDeadline(time.Now().Add(wait))
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(answer), err
}

// hears tells who a server says it saw when it is called from a namespace; the address without its port.
func hears(t testing.TB, ns *os.File, protocol, address string) string {
	t.Helper()
	conn, err := call(t, ns, protocol, address, patience)
	for end := time.Now().Add(patience); errors.Is(err, unix.EHOSTUNREACH) && time.Now().Before(end); {
		conn, err = call(t, ns, protocol, address, patience) // a neighbour is asked three times in three seconds, and a busy machine may need longer
	}
	must(t, err)
	text, err := say(conn, "hello", patience)
	must(t, err)
	who, rest, _ := strings.Cut(text, " saw ")
	seen, err := netip.ParseAddrPort(strings.TrimSuffix(rest, ": hello"))
	must(t, err)
	return who + " saw " + seen.Addr().String()
}

// deaf fails when a call is answered.
func deaf(t testing.TB, ns *os.File, protocol, address string) {
	t.Helper()
	conn, err := call(t, ns, protocol, address, impatience)
	if err != nil {
		return
	}
	if text, err := say(conn, "hello", impatience); err == nil {
		t.Errorf("%s %s answers %q", protocol, address, text)
	}
}

func want(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
