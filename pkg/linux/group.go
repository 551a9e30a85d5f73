package linux

import (
	"context"
	"errors"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// sandboxKey is what the keeper keeps a container's sandbox under. No container can have the name of a group's.
func sandboxKey(name, group string) string {
	if group != "" {
		return "group:" + group
	}
	return name
}

// frozenWith are the cgroups that are frozen and thawed together with an instance.
func (n *Node) frozenWith(in spec.Instance) (groups []*cgroup.Group, err error) {
	company, err := n.company(in)
	if err != nil {
		return nil, err
	}
	for _, in := range company {
		group, err := n.group(in.Name, in.ID)
		if err != nil {
			return nil, err
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// Company are the instances that images are taken of together: one and, if it belongs to a group, those of it that run and are not about to end.
func (n *Node) Company(name string, id uint64) ([]spec.Instance, error) {
	in, err := n.known(name, id)
	if err != nil {
		return nil, err
	}
	return n.company(in)
}

func (n *Node) company(in spec.Instance) ([]spec.Instance, error) {
	company := []spec.Instance{in}
	if in.Spec.Spec.Group == "" {
		return company, nil
	}
	members, err := n.members(in.Spec.Spec.Group)
	if err != nil {
		return nil, err
	}
	for _, member := range members {
		if live(member) && member.Stopping.IsZero() && (member.Name != in.Name || member.ID != in.ID) {
			company = append(company, member)
		}
	}
	return company, nil
}

// members are all instances of a group. A container's name begins with that of its group.
func (n *Node) members(group string) (members []spec.Instance, err error) {
	err = n.each(func(name string, id uint64) error {
		if !strings.HasPrefix(name, group+"-") {
			return nil
		}
		in, err := n.look(name, id)
		if err == nil && in.Spec.Spec.Group == group {
			members = append(members, in)
		}
		return err
	})
	return members, err
}

// forgetGroups lets go of the sandboxes of groups whose last container was of this name. The record may be lost, but the name begins with
// that of the group.
func (n *Node) forgetGroups(ctx context.Context, name string) error {
	n.groupLock.Lock()
	defer n.groupLock.Unlock()
	for i, c := range name {
		if c != '-' {
			continue
		}
		members, err := n.members(name[:i])
		if err != nil {
			return err
		}
		if len(members) == 0 {
			key := sandboxKey("", name[:i])
			if err := errors.Join(n.keeper.Forget(ctx, key), n.leaveBridge(ctx, key), n.freeIDs(key)); err != nil {
				return err
			}
		}
	}
	return nil
}
