package mount

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Sysctl is one kernel parameter of the container's own namespaces.
type Sysctl struct {
	Name  string // as in the manifest: net.ipv4.ip_forward
	Value string
}

// newSysctls puts the parameters in order and refuses those that would change the node.
func newSysctls(said map[string]string, network spec.NetworkMode) ([]Sysctl, error) {
	var sysctls []Sysctl
	for _, name := range slices.Sorted(maps.Keys(said)) {
		s := Sysctl{name, said[name]}
		elements := strings.Split(s.file(), "/")
		switch {
		case slices.Contains(elements, "") || slices.Contains(elements, ".") || slices.Contains(elements, ".."):
			return nil, refuseSysctl(name, "bad name")
		case strings.HasPrefix(name, "net.") && network == spec.NetworkHost:
			return nil, refuseSysctl(name, "with network mode Host it belongs to the node")
		case strings.HasPrefix(name, "net.") && network == spec.NetworkJoin:
			return nil, refuseSysctl(name, "with network mode Join it belongs to another")
		case strings.HasPrefix(name, spec.SysctlUserPrefix):
			// Those of a user namespace are written by who is in it: attribute.NewSysctls.
		case slices.Contains(spec.SysctlNames, name), slices.ContainsFunc(spec.SysctlPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }):
			sysctls = append(sysctls, s)
		default:
			return nil, refuseSysctl(name, "it belongs to the node, not to a namespace of the container")
		}
	}
	return sysctls, nil
}

func refuseSysctl(name, why string) error {
	return fmt.Errorf("cannot set sysctl %q: %s: %w", name, why, fs.ErrInvalid)
}

// file is the parameter's path below a proc mount. As with sysctl(8), dots part the elements and a slash stands for a
// dot inside one: net.ipv4.conf.eth0/1.forwarding.
func (s Sysctl) file() string {
	return "sys/" + strings.NewReplacer(".", "/", "/", ".").Replace(s.Name)
}
