package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
)

// setting is a kernel parameter below net, by its path there: names of links have dots in them.
type setting struct{ path, value string }

// sysctls sets parameters of a network namespace; nil is the process's own. Those of a protocol that the kernel lacks are left out: it
// has nothing to set.
func sysctls(ns *os.File, settings ...setting) error {
	return netlink.Inside(ns, func() error {
		for _, s := range settings {
			if err := s.set(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s setting) set() error {
	path := filepath.Join("/proc/sys/net", s.path)
	now, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && strings.TrimSpace(string(now)) == s.value {
		return nil
	}
	if err := os.WriteFile(path, []byte(s.value), 0); err != nil {
		return fmt.Errorf("cannot set net/%s to %s: %w", s.path, s.value, err)
	}
	return nil
}

// forwarding makes a node with a bridge forward packets, of IPv6 too if asked to.
func forwarding(ns *os.File, six bool) error {
	if err := sysctls(ns, setting{"ipv4/ip_forward", "1"}); err != nil || !six {
		return err
	}
	return netlink.Inside(ns, forwarding6)
}

// forwarding6 makes the thread's namespace forward IPv6. A node that forwards no longer listens to the routers it may have its own address
// and default route from, unless accept_ra is 2: Documentation/networking/ip-sysctl.rst.
func forwarding6() error {
	all := setting{"ipv6/conf/all/forwarding", "1"}
	now, err := os.ReadFile(filepath.Join("/proc/sys/net", all.path))
	if err != nil || strings.TrimSpace(string(now)) == all.value {
		return ignoreAbsent(err)
	}
	links, err := filepath.Glob("/proc/sys/net/ipv6/conf/*/accept_ra")
	if err != nil {
		return err
	}
	for _, file := range links {
		if now, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(now)) != "1" {
			continue
		}
		if err := os.WriteFile(file, []byte("2"), 0); ignoreAbsent(err) != nil {
			return fmt.Errorf("cannot keep a link listening to its routers: %w", err)
		}
	}
	return all.set()
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
