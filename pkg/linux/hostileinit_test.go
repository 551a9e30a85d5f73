package linux_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// upheavals are what a superuser's process 1 can do to what others find when they enter its container.
var upheavals = map[string]string{
	"chroot":             `mkdir /tmp/jail /tmp/jail/bin; cp /bin/busybox /tmp/jail/bin/sh; exec chroot /tmp/jail /bin/sh -c 'echo up; while :; do read -t 1 x; done'`,
	"chroot to a file":   `cp /bin/busybox /tmp/x; mkdir /tmp/empty; exec chroot /tmp/empty/../empty /bin/sh -c true || (echo up; exec sleep 1000)`,
	"pivoted":            `mkdir /tmp/n; mount -t tmpfs none /tmp/n; mkdir /tmp/n/bin /tmp/n/old; cp /bin/busybox /tmp/n/bin/sh; cp /bin/busybox /tmp/n/bin/busybox; cd /tmp/n; pivot_root . old; echo up; exec /bin/busybox sleep 1000`,
	"no /proc":           `umount -l /proc; echo up; exec sleep 1000`,
	"another /proc":      `mount -t tmpfs none /proc; mkdir -p /proc/self/attr /proc/1/fd /proc/self/fd /proc/sys; ln -s /etc/shadow /proc/self/fd/0; echo 0 > /proc/self/attr/exec; echo up; exec sleep 1000`,
	"another /dev":       `mount -t tmpfs none /dev; mkfifo /dev/null /dev/ptmx /dev/console /dev/tty; mkdir /dev/pts; mkfifo /dev/pts/ptmx /dev/pts/0; echo up; exec sleep 1000`,
	"/dev is a link":     `mount -t tmpfs none /dev; ln -s /proc/1/root /dev/pts; ln -s pts/ptmx /dev/ptmx; echo up; exec sleep 1000`,
	"/dev/pts elsewhere": `mount -t tmpfs none /dev/pts; ln -s /dev/zero /dev/pts/ptmx; echo up; exec sleep 1000`,
	"FIFO passwd":        `mount -t tmpfs none /etc; mkfifo /etc/passwd /etc/group; echo up; exec sleep 1000`,
	"endless passwd":     `mount -t tmpfs none /etc; ln -s /dev/zero /etc/passwd; ln -s /dev/zero /etc/group; echo up; exec sleep 1000`,
	"huge passwd":        `mount -t tmpfs none /etc; truncate -s 100G /etc/passwd; i=0; while [ $i -lt 20000 ]; do echo "web:x:0:web"; i=$((i+1)); done > /etc/group; echo up; exec sleep 1000`,
	"node's passwd":      `mount -t tmpfs none /etc; ln -s /proc/1/root/../../../../etc/shadow /etc/passwd; ln -s ../../../../../../etc/group /etc/group; echo up; exec sleep 1000`,
	"nothing at all":     `mount -t tmpfs none /bin; echo up; while :; do read -t 1 x; done`,
	"no hierarchy":       `mount -t tmpfs none /sys; mount -t tmpfs none /tmp; echo up; exec sleep 1000`,
	"read-only":          `mount -o remount,ro /; mount -o remount,ro /dev; mount -o remount,ro,noexec /proc; echo up; exec sleep 1000`,
	"everything on top":  `mount -t tmpfs none /; cd /; echo up; while :; do read -t 1 x; done`,
	"dumpable and lazy":  `umount -l /dev/pts; umount -l /dev; umount -l /; echo up; while :; do read -t 1 x; done`,
}

// Whatever process 1 has made of its root, entering it ends soon, inside or with an error; nothing of the node is shown or changed by that, and
// the container can be destroyed.
func TestUpheavals(t *testing.T) {
	n := open(t)
	n.say(t, n.container("warm", ""))
	machine := kerneltest.HostFiles(t)
	for name, upheaval := range upheavals {
		t.Run(name, func(t *testing.T) {
			kerneltest.NoLeaks(t, kerneltest.Scope{Parent: n.groups(), Dirs: []string{n.dir}})
			c := n.writable("web", `export PATH=/bin; `+upheaval, spec.Writable{})
			c.Spec.Security.Capabilities.Add = []string{"ALL"}
			n.run(t, c, 1)
			defer func() {
				soon(t, "destroy", func(ctx context.Context) error { return n.Destroy(ctx, "web", 1, false) })
			}()
			if in := n.await(t, "web", 1, func(in spec.Instance) bool { return exited(in) || n.logged("web") > 0 }); exited(in) {
				t.Logf("it has ended: %+v, %s", in.Exit, n.output(t, "web"))
				return
			}
			for _, user := range []string{"", "web", "4242"} {
				for _, tty := range []bool{false, true} {
					e := spec.Exec{Command: []string{"sh", "-c", `echo inside; cat /etc/shadow /etc/hostname 2>/dev/null`}, User: user, TTY: tty}
					soon(t, fmt.Sprintf("exec %q %v", user, tty), func(ctx context.Context) error {
						s, err := n.Exec(ctx, "web", 1, e)
						if err != nil {
							if len(err.Error()) > 1000 {
								t.Errorf("%.1000s", err)
							}
							return nil
						}
						said, _ := io.ReadAll(s.Stdout())
						if !strings.HasPrefix(string(said), "inside") || strings.Contains(string(said), "root:") {
							t.Errorf("%q, %v: %q", user, tty, said)
						}
						return s.Close()
					})
				}
			}
		})
	}
	if diff := kerneltest.Diff(machine, kerneltest.HostFiles(t)); diff != nil {
		t.Errorf("this machine changed: %q", diff)
	}
}
