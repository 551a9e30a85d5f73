package spec

// KindPolicy is the kind of what the owner of a node lets manifests ask for.
const KindPolicy = "NodePolicy"

// NodePolicy says what manifests may ask for on a node. The zero value allows everything; so does every field that is not said. A nil policy allows
// everything as well.
//
// It judges what a manifest says, before anything is looked at: paths are compared as texts, after lexical cleaning (path.Clean) and by whole names
// between slashes, so nobody who is not trusted may make symbolic links below an allowed path.
type NodePolicy struct {
	// APIVersion is the version of the words: reconciler/v1alpha1.
	APIVersion string `json:"apiVersion" format:"apiVersion"`
	// Kind is NodePolicy.
	Kind string `json:"kind" format:"policyKind"`
	// Metadata names the policy, for people.
	Metadata Metadata `json:"metadata,omitzero"`
	// Spec is what is allowed.
	Spec PolicySpec `json:"spec"`

	file string // where it was read
}

// PolicySpec are the rules. A list that is empty allows nothing, one that is not said everything.
type PolicySpec struct {
	// Rootfs is about root file systems.
	Rootfs RootfsPolicy `json:"rootfs,omitzero"`
	// Mounts is about spec.mounts.
	Mounts MountsPolicy `json:"mounts,omitzero"`
	// HostNamespaces denies the node's namespaces, and those of a path, which may be the node's: pid, ipc, uts, cgroup, network. Not the user
	// namespace, which has a rule of its own.
	HostNamespaces Permission `json:"hostNamespaces,omitzero"`
	// UserNamespace requires a user namespace that is not the node's.
	UserNamespace Requirement `json:"userNamespace,omitzero"`
	// Capabilities is about capabilities beside the default list, which is always allowed.
	Capabilities CapabilitiesPolicy `json:"capabilities,omitzero"`
	// Devices is about spec.devices.
	Devices DevicesPolicy `json:"devices,omitzero"`
	// Sysctls is about spec.sysctls.
	Sysctls SysctlsPolicy `json:"sysctls,omitzero"`
	// Seccomp is about system call filters.
	Seccomp SeccompPolicy `json:"seccomp,omitzero"`
	// NewPrivileges denies security.allowNewPrivileges.
	NewPrivileges Permission `json:"newPrivileges,omitzero"`
	// Unmasked denies base None, and lists of masked or read-only paths that lack one of the default list.
	Unmasked Permission `json:"unmasked,omitzero"`
	// UnconfinedAppArmor denies security.apparmor unconfined.
	UnconfinedAppArmor Permission `json:"unconfinedAppArmor,omitzero"`
	// Hooks denies the hooks that run on the node, or see its files: all but startContainer.
	Hooks Permission `json:"hooks,omitzero"`
	// Logs is about where output goes.
	Logs LogsPolicy `json:"logs,omitzero"`
	// Resources is about limits.
	Resources ResourcesPolicy `json:"resources,omitzero"`
}

// RootfsPolicy is about root file systems.
type RootfsPolicy struct {
	// AllowedPaths are directories in which, or below which, a rootfs may be.
	AllowedPaths *[]string `json:"allowedPaths,omitempty" format:"path"`
	// Direct denies writable medium Direct, which writes to the node's directory.
	Direct Permission `json:"direct,omitzero"`
}

// MountsPolicy is about further file systems.
type MountsPolicy struct {
	// AllowedSources are paths of the node that, or below which anything, may be mounted: as source, and as directory of an overlay.
	AllowedSources *[]string `json:"allowedSources,omitempty" format:"path"`
	// AllowedTypes are types of file systems.
	AllowedTypes *[]string `json:"allowedTypes,omitempty" format:"mountType"`
}

// CapabilitiesPolicy is about capabilities.
type CapabilitiesPolicy struct {
	// Allowed are those that a container may have beside the default list; ALL for every one.
	Allowed *[]string `json:"allowed,omitempty" format:"capability"`
}

// DevicesPolicy is about devices of the node.
type DevicesPolicy struct {
	// Allowed are paths of devices on the node. With it, devices by number and spec.deviceRules that allow anything are denied.
	Allowed *[]string `json:"allowed,omitempty" format:"path"`
}

// SysctlsPolicy is about kernel parameters.
type SysctlsPolicy struct {
	// Allowed are names, or their beginnings with .* at the end: net.ipv4.*.
	Allowed *[]string `json:"allowed,omitempty" format:"sysctlPattern"`
}

// SeccompPolicy is about system call filters.
type SeccompPolicy struct {
	// Allowed are modes: Default, Profile, Unconfined.
	Allowed *[]SeccompMode `json:"allowed,omitempty"`
}

// LogsPolicy is about where output goes.
type LogsPolicy struct {
	// AllowedDrivers are the drivers that a manifest may ask for: File, Journald, Both, None. The node's own choice is always allowed.
	AllowedDrivers *[]LogDriver `json:"allowedDrivers,omitempty"`
}

// ResourcesPolicy is about limits. A limit that has a ceiling must be said.
type ResourcesPolicy struct {
	// Memory has the ceiling of memory.max.
	Memory MemoryPolicyCeiling `json:"memory,omitzero"`
	// Pids has the ceiling of pids.max.
	Pids PidsPolicyCeiling `json:"pids,omitzero"`
}

// MemoryPolicyCeiling is about memory.
type MemoryPolicyCeiling struct {
	// Max is the most that resources.memory.max may be.
	Max Limit `json:"max,omitzero" unit:"bytes" min:"1"`
}

// PidsPolicyCeiling is about tasks.
type PidsPolicyCeiling struct {
	// Max is the most that resources.pids.max may be.
	Max Limit `json:"max,omitzero" min:"1"`
}

// Permission is Allow (default) or Deny.
type Permission string

// The permissions.
const (
	Allow Permission = "Allow"
	Deny  Permission = "Deny"
)

// Requirement is Optional (default) or Required.
type Requirement string

// The requirements.
const (
	Optional Requirement = "Optional"
	Required Requirement = "Required"
)
