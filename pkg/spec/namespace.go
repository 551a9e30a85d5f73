package spec

import "strings"

// Namespaces says which of the kernel's namespaces are the container's own. A text is Private (its own; default), Host (the
// node's), container:NAME (that of another container, while it runs) or the absolute path of a namespace file. See namespaces(7).
type Namespaces struct {
	// PID is the process namespace: Private (default), Host, container:NAME or a path. With Host and the capability SYS_PTRACE a container can take over the node; another's is only joined if no process there has that capability, or SYS_ADMIN or PERFMON, with the node's users.
	PID string `json:"pid,omitzero" class:"replace" format:"namespace"`
	// IPC is the namespace of System V IPC and POSIX message queues: Private (default), Host, container:NAME or a path.
	IPC string `json:"ipc,omitzero" class:"replace" format:"namespace"`
	// UTS is the namespace of the host name: Private (default), Host, container:NAME or a path.
	UTS string `json:"uts,omitzero" class:"replace" format:"namespace"`
	// Cgroup is the namespace of control groups: Private (its own cgroup is the root; default), Host, container:NAME or a path.
	Cgroup string `json:"cgroup,omitzero" class:"replace" format:"namespace"`
	// User is the namespace of users, groups and capabilities.
	User UserNamespace `json:"user,omitzero" class:"replace"`
	// Time is the namespace of the clocks that count from the node's boot.
	Time TimeNamespace `json:"time,omitzero" class:"replace"`
}

// The words of a namespace.
const (
	NamespacePrivate = "Private"
	NamespaceHost    = "Host"
	// NamespaceContainer begins the word for another container's namespace.
	NamespaceContainer = "container:"
)

// JoinedContainer is the container whose namespace a text names; false for every other text.
func JoinedContainer(namespace string) (name string, ok bool) {
	return strings.CutPrefix(namespace, NamespaceContainer)
}

// UserNamespace says whether the container has users of its own: its superuser is then an ordinary user of the node.
// See user_namespaces(7).
type UserNamespace struct {
	// Mode is Host (the node's users; default), Auto (a range of ids that no other container has, chosen by the node), Map (as uidMappings and gidMappings say) or Join (another user namespace).
	Mode UserMode `json:"mode,omitzero" class:"replace"`
	// Size is the number of ids with Auto. Default 65536.
	Size uint32 `json:"size,omitzero" class:"replace" min:"1" max:"16777216"`
	// UIDMappings say with Map which user ids of the node the container's are.
	UIDMappings []IDMapping `json:"uidMappings,omitzero" class:"replace"`
	// GIDMappings say with Map which group ids of the node the container's are.
	GIDMappings []IDMapping `json:"gidMappings,omitzero" class:"replace"`
	// Join says with Join whose it is: container:NAME or the absolute path of a namespace file.
	Join string `json:"join,omitzero" class:"replace" format:"namespace"`
}

// UserMode names a way of having users.
type UserMode string

// The modes of a user namespace.
const (
	UserHost UserMode = "Host"
	UserAuto UserMode = "Auto"
	UserMap  UserMode = "Map"
	UserJoin UserMode = "Join"
)

// IDMapping maps size ids of the container from containerID on to ids of the node from hostID on.
type IDMapping struct {
	// ContainerID is the first id inside.
	ContainerID uint32 `json:"containerID" class:"replace" min:"0" max:"4294967294"`
	// HostID is the first id on the node.
	HostID uint32 `json:"hostID" class:"replace" min:"0" max:"4294967294"`
	// Size is how many ids are mapped.
	Size uint32 `json:"size" class:"replace" min:"1" max:"4294967295"`
}
