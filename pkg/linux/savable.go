package linux

import (
	"errors"
	"io/fs"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// sysctlMPTCP lets programs have sockets of multipath TCP, of which no image can be taken. Servers in Go ask for them since 1.24, and take others where there are none.
const sysctlMPTCP = "net.mptcp.enabled"

// savable prepares a container's own network for images, if its manifest asks for any and does not say otherwise.
func savable(s spec.ContainerSpec, net *os.File) error {
	if _, said := s.Sysctls[sysctlMPTCP]; said || !s.Checkpoints() {
		return nil
	}
	return netlink.Inside(net, func() error {
		err := mount.Sysctl{Name: sysctlMPTCP, Value: "0"}.Set()
		if errors.Is(err, fs.ErrNotExist) { // the kernel has none
			return nil
		}
		return err
	})
}
