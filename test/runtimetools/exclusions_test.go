package runtimetools

// exclusion is a line of a program that runc passes and this runtime does not, and never is to.
type exclusion struct {
	program string
	lines   string // a prefix
	reason  string
}

const (
	noMounts = "without a mount namespace of its own a container would be mounted into the node's: runc leaves those mounts there"
	joinsMnt = "a mount namespace that is joined would have its root changed for all who are in it"
	bindAge  = "binds are taken from the node before the container is there, by descriptor; they are attached in the listed order, but mountinfo goes by age (since Linux 6.8)"
)

// exclusions are all of them. One that is not needed fails the test.
var exclusions = []exclusion{
	{"linux_ns_itype", "inherit namespace ", noMounts},
	{"linux_ns_path", "set mnt namespace by path", joinsMnt},
	{"mounts", "mounts[9] (/mnt/etc-shared) found in order", bindAge},
	{"mounts", "mounts[10] (/mnt/etc-rshared) found in order", bindAge},
	{"mounts", "mounts[11] (/mnt/etc-slave) found in order", bindAge},
	{"mounts", "mounts[12] (/mnt/etc-rslave) found in order", bindAge},
	{"mounts", "mounts[13] (/mnt/etc-private) found in order", bindAge},
	{"mounts", "mounts[14] (/mnt/etc-rprivate) found in order", bindAge},
	{"mounts", "mounts[15] (/mnt/etc-unbindable) found in order", bindAge},
	{"mounts", "mounts[16] (/mnt/etc-runbindable) found in order", bindAge},
}
