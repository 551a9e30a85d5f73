package spec

// Security narrows or widens what a container's processes may do.
type Security struct {
	// Capabilities changes the default list: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, NET_BIND_SERVICE, SETGID, SETPCAP, SETUID, SYS_CHROOT. Drop comes first, then add; ALL is every capability.
	Capabilities Capabilities `json:"capabilities,omitzero" class:"replace"`
	// AllowNewPrivileges switches no_new_privs off, so that set-uid programs work.
	AllowNewPrivileges bool `json:"allowNewPrivileges,omitzero" class:"replace"`
	// Seccomp is Default (the default filter), Unconfined (none) or Profile (as seccompProfile or the file seccompProfileFile says).
	Seccomp SeccompMode `json:"seccomp,omitzero" class:"replace"`
	// SeccompProfile is the filter with seccomp: Profile.
	SeccompProfile SeccompProfile `json:"seccompProfile,omitzero" class:"replace"`
	// SeccompProfileFile is an absolute path on the node to the filter with seccomp: Profile, in JSON as OCI, Docker and podman have it; read at each start. It belongs to root, and nobody else can write to it.
	SeccompProfileFile string `json:"seccompProfileFile,omitzero" class:"replace" format:"path"`
	// MaskedPaths replaces the default list of paths hidden from the container; an empty list hides none.
	MaskedPaths *[]string `json:"maskedPaths,omitempty" class:"replace" format:"hidden"`
	// ReadonlyPaths replaces the default list of paths that are read-only in the container; an empty list frees all.
	ReadonlyPaths *[]string `json:"readonlyPaths,omitempty" class:"replace" format:"hidden"`
	// AppArmor is the AppArmor profile of the command: the name of one that is loaded on the node, or unconfined. Default: that of the agent's keeper.
	AppArmor string `json:"apparmor,omitzero" class:"replace" format:"profile"`
	// SELinux says which SELinux labels the container has.
	SELinux SELinux `json:"selinux,omitzero" class:"replace"`
	// Landlock narrows which files and ports the processes may use, on top of everything else; no privilege lifts it.
	Landlock Landlock `json:"landlock,omitzero" class:"replace"`
	// Keyring is New (a session keyring of its own, empty; default) or Inherit (the one the agent's keeper has). See session-keyring(7).
	Keyring Keyring `json:"keyring,omitzero" class:"replace"`
}

// SeccompMode names a system call filter.
type SeccompMode string

// The seccomp modes.
const (
	SeccompDefault    SeccompMode = "Default"
	SeccompUnconfined SeccompMode = "Unconfined"
)

// Keyring names a way of having a session keyring.
type Keyring string

// The session keyrings.
const (
	KeyringNew     Keyring = "New"
	KeyringInherit Keyring = "Inherit"
)

// SELinux are the labels of a container on a node with SELinux.
type SELinux struct {
	// Label is the security context of the command, for example system_u:system_r:container_t:s0:c1,c2. Default: what the node's policy says.
	Label string `json:"label,omitzero" class:"replace" format:"selinuxLabel"`
	// MountLabel is the security context of the files in the file systems that are made for the container.
	MountLabel string `json:"mountLabel,omitzero" class:"replace" format:"selinuxLabel"`
}
