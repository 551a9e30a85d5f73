package attribute

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Sysctl is a kernel parameter of a user namespace, Name as below /proc/sys/user and Value a number, which only who is in it can set. Package mount sets all others.
type Sysctl struct{ Name, Value string }

// NewSysctls are those that a manifest asks for, in order. Without a user namespace of the container's own they are fs.ErrInvalid.
func NewSysctls(s spec.ContainerSpec) (sysctls []Sysctl, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.Sysctls)) {
		bare, ok := strings.CutPrefix(name, spec.SysctlUserPrefix)
		if !ok {
			continue
		}
		switch mode := s.Namespaces.User.Mode; {
		case mode == "" || mode == spec.UserHost:
			err = fmt.Errorf("cannot set sysctl %q: the container has no user namespace of its own, so it would be the node's: %w", name, fs.ErrInvalid)
		case bare == "" || strings.Trim(bare, "abcdefghijklmnopqrstuvwxyz_") != "":
			err = fmt.Errorf("cannot set sysctl %q: bad name: %w", name, fs.ErrInvalid)
		}
		if err != nil {
			return nil, err
		}
		sysctls = append(sysctls, Sysctl{name, s.Sysctls[name]})
	}
	return sysctls, nil
}

func setSysctls(p *process.Program, plan Plan) {
	for _, s := range plan.Sysctls {
		writeProc(p, "set sysctl "+s.Name, "sys/"+strings.ReplaceAll(s.Name, ".", "/"), s.Value)
	}
}
