package machine

import (
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// policy is what a container's manifest allows the processes of an image to be: its mounts, and the most that they may have.
func policy(s spec.ContainerSpec, staged *linux.Restore) image.Policy {
	most := staged.Rights
	p := image.Policy{
		Bounding: most.Bounding, NoNewPrivs: most.NoNewPrivs, Seccomp: most.Filter != nil, Filter: most.Filter, LSM: most.Label,
		UIDs: idMap(most.UIDs), GIDs: idMap(most.GIDs), OOMScoreAdj: most.OOMScoreAdj, Rlimits: most.Rlimits, Realtime: most.Realtime,
	}
	if most := s.Resources.Pids.Max; !most.IsZero() && !most.IsMax() {
		p.Tasks = int(most.Value())
	}
	for kind, word := range map[string]string{"ipc": s.Namespaces.IPC, "uts": s.Namespaces.UTS} {
		if word == "" || word == spec.NamespacePrivate {
			p.Own = append(p.Own, kind)
		}
	}
	for _, m := range staged.Mounts {
		if m.Point == "/" {
			continue
		}
		wanted := image.Mount{Point: m.Point, Type: m.Type, Root: m.Root, Flags: flags(m.Flags)}
		if !m.Made {
			wanted.Key = m.Point
		}
		p.Mounts = append(p.Mounts, wanted)
	}
	return p
}

// restrictions are the flags of a mount that take something away, see mount(2).
var restrictions = map[string]uint32{"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8}

func flags(words []string) (all uint32) {
	for _, word := range words {
		all |= restrictions[word]
	}
	return all
}

func idMap(ids []spec.IDMapping) (lines []image.IDMap) {
	for _, m := range ids {
		lines = append(lines, image.IDMap{Inside: m.ContainerID, Outside: m.HostID, Count: m.Size})
	}
	return lines
}

// here is what an image would be restored with.
func (r *restoring) here() image.Here {
	h := image.Here{CRIU: r.tool.Version}
	if most := r.instance.Spec.Spec.Resources.Memory.Max; !most.IsZero() && !most.IsMax() {
		h.Memory = spec.Bytes(most.Value())
	}
	return h
}
