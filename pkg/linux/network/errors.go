package network

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// PortError says that a port of the node leads elsewhere already; other ports, or the end of the owner, help. It is unix.EADDRINUSE.
type PortError struct {
	Name  string    // who asks
	Port  spec.Port // for what
	Owner string    // who has it
}

func (e *PortError) Error() string {
	protocol := e.Port.Protocol
	if protocol == "" {
		protocol = spec.ProtocolTCP
	}
	return fmt.Sprintf("cannot publish %s port %d of %q: it is published by %q\nhint: give one of them another network.ports.host", protocol, e.Port.Host, e.Name, e.Owner)
}

// Is makes every PortError a unix.EADDRINUSE.
func (e *PortError) Is(target error) bool { return target == unix.EADDRINUSE }

// AddressError says that an address is another's. It is unix.EADDRINUSE.
type AddressError struct {
	Name    string // who asks
	Address netip.Addr
	Owner   string // a name, or a link of the node
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("cannot give %q the address %s: it is that of %q", e.Name, e.Address, e.Owner)
}

// Is makes every AddressError a unix.EADDRINUSE.
func (e *AddressError) Is(target error) bool { return target == unix.EADDRINUSE }
