package netlink

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace/inside"
)

// Inside runs do on a thread that is in a network namespace for the time; nil is the process's own. What do opens, stays there.
func Inside(ns *os.File, do func() error) error { return inside.Do(ns, unix.CLONE_NEWNET, do) }
