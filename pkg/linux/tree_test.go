package linux_test

import (
	"os"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A manifest's file systems reach the container: of any type and with any option, the rootfs itself for writing, and with base
// None nothing beside what is listed.
func TestFileSystems(t *testing.T) {
	n := open(t)
	host := t.TempDir()
	must(t, os.WriteFile(host+"/file", []byte("from the node\n"), 0o600))
	own := []spec.IDMapping{{ContainerID: 0, HostID: 1000, Size: 1000}}
	for _, test := range []struct {
		name, script, want string
		change             func(*spec.ContainerSpec)
	}{
		{
			"options", `awk '$5 == "/data" || $5 == "/t" || $5 == "/r" {print $5, $6}' /proc/self/mountinfo | sort; stat -c %u /data/file`,
			"/data ro,nosuid,noatime,nosymfollow,idmapped\n/r rw,relatime\n/t rw,nosuid,nodev,relatime\n1000", func(s *spec.ContainerSpec) {
				s.Mounts = []spec.Mount{
					{Type: "bind", Source: host, Destination: "/data", Options: []string{"rbind", "rro", "nosuid", "noatime", "rnosymfollow", "idmap"}, UIDMappings: own, GIDMappings: own},
					{Type: "tmpfs", Destination: "/t", Options: []string{"size=50%", "sync", "defaults"}},
					{Type: "ramfs", Destination: "/r", Options: []string{"mode=700"}},
				}
			},
		},
		{"direct", `touch /written; touch /dev/shm/x && echo done`, "done", func(s *spec.ContainerSpec) { s.Rootfs.ReadOnly, s.Rootfs.Writable.Medium = false, spec.MediumDirect }},
		{"base-none", `awk '{print $5}' /proc/self/mountinfo | sort; ls /dev`, "/\n/dev\n/proc\nfd full null ptmx random stderr stdin stdout tty urandom zero", func(s *spec.ContainerSpec) {
			s.Base = spec.BaseNone
			s.User, s.Env = "0:0", map[string]string{"PATH": "/bin"}
			s.Mounts = []spec.Mount{{Type: "proc", Destination: "/proc"}, {Type: "tmpfs", Destination: "/dev", Options: []string{"mode=755", "nosuid"}}}
			s.Security.MaskedPaths, s.Security.ReadonlyPaths = &[]string{}, &[]string{}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := n.container(test.name, test.script)
			test.change(&c.Spec)
			if got := strings.Join(strings.Fields(n.say(t, c)), " "); got != strings.Join(strings.Fields(test.want), " ") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if _, err := os.Stat(n.path("rootfs", "written")); err != nil {
		t.Errorf("what the container wrote is not in the rootfs: %v", err)
	}
}
