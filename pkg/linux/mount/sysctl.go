package mount

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Sysctl is one kernel parameter of the container's own namespaces.
type Sysctl struct {
	Name  string // as in the manifest: net.ipv4.ip_forward
	Value string
}

// newSysctls puts the parameters in order and refuses those that would change the node, or another's network unless it tunes that.
func newSysctls(said map[string]string, network spec.NetworkMode, tunes bool) ([]Sysctl, error) {
	var sysctls []Sysctl
	for _, name := range slices.Sorted(maps.Keys(said)) {
		s := Sysctl{name, said[name]}
		elements := strings.Split(s.file(), "/")
		switch {
		case slices.Contains(elements, "") || slices.Contains(elements, ".") || slices.Contains(elements, ".."):
			return nil, refuseSysctl(name, "bad name")
		case strings.HasPrefix(name, "net.") && network == spec.NetworkHost:
			return nil, refuseSysctl(name, "with network mode Host it belongs to the node")
		case strings.HasPrefix(name, "net.") && network == spec.NetworkJoin && !tunes:
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

// pingGroups is the one parameter whose values are ids: the kernel takes them for those of who writes (ipv4_ping_group_range in net/ipv4/sysctl_net_ipv4.c),
// and that is the node.
const pingGroups = "net.ipv4.ping_group_range"

// shift turns ids in the value, which are the container's, into the node's. What the kernel refuses stays for it to refuse.
func (s Sysctl) shift(ids IDMap) (Sysctl, error) {
	fields := strings.Fields(s.Value)
	if s.Name != pingGroups || ids.IsZero() || len(fields) != 2 {
		return s, nil
	}
	for i, field := range fields {
		id, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			return s, nil
		}
		node, ok := ids.GID(uint32(id))
		if !ok {
			return s, refuseSysctl(s.Name, fmt.Sprintf("the container's user namespace has no group %d", id))
		}
		fields[i] = strconv.FormatUint(uint64(node), 10)
	}
	s.Value = strings.Join(fields, " ")
	return s, nil
}

// file is the parameter's path below a proc mount. As with sysctl(8), dots part the elements and a slash stands for a
// dot inside one: net.ipv4.conf.eth0/1.forwarding.
func (s Sysctl) file() string {
	return "sys/" + strings.NewReplacer(".", "/", "/", ".").Replace(s.Name)
}

// IsNetwork tells whether the parameter belongs to a network namespace.
func (s Sysctl) IsNetwork() bool { return strings.HasPrefix(s.Name, "net.") }

// NewSysctls are the parameters of a defaulted container that a start sets from outside its namespace of users, with ids of the node.
func NewSysctls(c spec.Container, ids IDMap) ([]Sysctl, error) {
	all, err := newSysctls(c.Spec.Sysctls, c.Spec.Network.Mode, false)
	for i := 0; i < len(all) && err == nil; i++ {
		all[i], err = all[i].shift(ids)
	}
	return all, err
}

// Namespace is the kind of namespace that the parameter belongs to.
func (s Sysctl) Namespace() string {
	if s.IsNetwork() {
		return "net"
	}
	return "ipc"
}

// Get is the parameter in the namespaces of the calling thread, with single blanks.
func (s Sysctl) Get() (string, error) {
	text, err := os.ReadFile("/proc/" + s.file())
	return strings.Join(strings.Fields(string(text)), " "), err
}

// Set sets the parameter in the namespaces of the calling thread.
func (s Sysctl) Set() error {
	if err := os.WriteFile("/proc/"+s.file(), []byte(s.Value), 0); err != nil {
		return fmt.Errorf("cannot set sysctl %s: %w", s.Name, err)
	}
	return nil
}
