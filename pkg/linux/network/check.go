package network

import (
	"net/netip"
	"os"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// checkWant refuses what no manifest can say, but a program that uses this library can: names of links become paths in /proc/sys/net.
func checkWant(name string, sandbox *os.File, want spec.Network) error {
	if sandbox == nil {
		return invalid("there is no network namespace to attach")
	}
	if err := validName(name); err != nil {
		return invalid("%v", err)
	}
	if want.Mode != spec.NetworkBridge {
		return invalid("network.mode %s has no bridge", want.Mode)
	}
	for _, link := range []string{or(want.Bridge, spec.DefaultBridge), or(want.Interface, spec.DefaultInterface)} {
		if err := spec.ValidLink(link); err != nil {
			return invalid("%v", err)
		}
	}
	if want.MTU != 0 && (want.MTU < 68 || want.MTU > 65535) {
		return invalid("network.mtu %d is not between 68 and 65535", want.MTU)
	}
	six, err := netip.ParsePrefix(or(want.Address6, "::/0"))
	if err != nil || six.Addr().Is4() {
		return invalid("network.address6 %q is not an IPv6 address with the length of its subnet", want.Address6)
	}
	if first, err := netip.ParsePrefix(want.Address); err == nil && first.Addr().Is6() && want.Address6 != "" {
		return invalid("network.address and address6 are both of IPv6")
	}
	return checkPorts(want.Ports)
}

// validName takes names of containers and, with group: before them, of groups: what a sandbox belongs to.
func validName(name string) error { return spec.ValidName(strings.TrimPrefix(name, "group:")) }
