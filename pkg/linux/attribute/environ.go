package attribute

import (
	"maps"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
)

// Environ is the environment of a process as sorted KEY=VALUE: what its manifest says, over PATH, HOME, HOSTNAME and
// container, by which programs tell what kind of container they are in (systemd's container interface).
// Nothing comes from the agent's or keeper's environment.
func Environ(env map[string]string, home, hostname string) []string {
	all := map[string]string{"PATH": rootfs.DefaultPath, "HOME": home, "HOSTNAME": hostname, "container": "reconciler"}
	maps.Copy(all, env)
	return list(all)
}

func list(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, key := range slices.Sorted(maps.Keys(env)) {
		list = append(list, key+"="+env[key])
	}
	return list
}

// SaidEnviron is the environment that a manifest with base None says, and HOME if it does not.
func SaidEnviron(env map[string]string, home string) []string {
	all := map[string]string{"HOME": home}
	maps.Copy(all, env)
	return list(all)
}
