package network

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/nft"
)

// lockPrefix begins the names of the tables by which criu keeps packets from a container whose connections are in an image: criu/netfilter.c.
const lockPrefix = "CRIU-"

// Unlock lets packets into a network namespace again that was locked for an image which will not be restored there. One without a lock is success.
func Unlock(ns *os.File) error {
	c, err := netlink.Dial(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer c.Close()
	tables, err := nft.Tables(c)
	var errs []error
	for _, name := range tables {
		if strings.HasPrefix(name, lockPrefix) {
			errs = append(errs, nft.Remove(c, name))
		}
	}
	return errors.Join(append(errs, err)...)
}
