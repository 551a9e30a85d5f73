package spec

// APIVersion is the version of a manifest's words, KindContainer the kind of most. See also KindGroup and KindConfig.
const (
	APIVersion    = "reconciler/v1alpha1"
	KindContainer = "Container"
)

// Container is one manifest document: a container that should exist on this node.
type Container struct {
	// APIVersion is the version of the manifest's words: reconciler/v1alpha1.
	APIVersion string `json:"apiVersion" format:"apiVersion"`
	// Kind is the kind of object: Container.
	Kind string `json:"kind" format:"kind"`
	// Metadata names the container.
	Metadata Metadata `json:"metadata"`
	// Spec is what the container should be.
	Spec ContainerSpec `json:"spec"`
}

// Metadata names an object and tells people and pipelines about it; it never restarts anything.
type Metadata struct {
	// Name is the container's name, unique on the node: a DNS label, at most 63 characters of [a-z0-9-].
	Name string `json:"name" class:"identity" format:"name"`
	// Labels are short key-value pairs to select by.
	Labels map[string]string `json:"labels,omitzero" class:"live" keys:"labelKey" format:"labelValue"`
	// Annotations are free key-value pairs that the agent only carries, except keys below reconciler.dev/.
	Annotations map[string]string `json:"annotations,omitzero" class:"live" keys:"labelKey" format:"note"`
}

// ContainerSpec is the desired container. The zero value of a field means "not said" and gets a
// default (see Defaults). Fields of class live change a running container in place; a change of a
// field of class replace gives a new instance.
type ContainerSpec struct {
	// State is what the container should be doing: Running (default), Paused, Stopped, or Checkpointed (its processes are in an image on disk and take no memory; back to Running restores them).
	State State `json:"state,omitzero" class:"live"`
	// Suspend keeps the agent from doing anything about the container: what runs runs on, and is watched and shown. What is removed or goes down with the node does so all the same.
	Suspend bool `json:"suspend,omitzero" class:"live"`
	// DeletionPolicy says what becomes of the container when its manifest is removed: Stop (it ends by its own stop, and is destroyed; default), Checkpoint (it ends in an image that is kept, if it can, and is destroyed) or Orphan (it stays as it is, and a manifest of its name takes it over).
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitzero" class:"live"`
	// Group is the group that the container belongs to. It is set by a manifest of kind Group, and cannot be said.
	Group string `json:"group,omitzero" class:"replace" format:"name"`
	// Job is what the container knows of the job that it is of. It is set by a manifest of kind Job, and cannot be said.
	Job JobRuns `json:"job,omitzero" class:"live"`
	// Base is what a container has beside what its manifest says: Standard (the usual mounts, environment, limits and groups; default) or None (nothing: only the mounts and variables that are said, in that order, limits as inherited, numbers for users).
	Base Base `json:"base,omitzero" class:"replace"`
	// Rootfs is the file system the container sees as /.
	Rootfs Rootfs `json:"rootfs" class:"replace"`
	// Command is the program and its arguments; a first word without a slash is looked up in PATH inside the rootfs.
	Command []string `json:"command" class:"replace" format:"argument"`
	// Env is the environment. Values are strings: quote numbers and booleans.
	Env map[string]string `json:"env,omitzero" class:"replace" keys:"envName" format:"argument"`
	// Configs are configs that the container uses: files and variables of manifests of their own, which change without a new instance.
	Configs []ConfigUse `json:"configs,omitzero" class:"replace"`
	// User is the user to run as: a name or uid, with an optional :group name or gid, looked up in the rootfs's /etc/passwd and /etc/group. Default 0, the superuser.
	User string `json:"user,omitzero" class:"replace" format:"user"`
	// AdditionalGroups are further group names or gids, beside those /etc/group gives the user.
	AdditionalGroups []string `json:"additionalGroups,omitzero" class:"replace" format:"group"`
	// WorkingDir is the absolute directory to start in. Default /. With base None and writable medium Direct it is made if it is missing.
	WorkingDir string `json:"workingDir,omitzero" class:"replace" format:"path"`
	// Umask is the file mode creation mask as an octal string. Default "0022".
	Umask string `json:"umask,omitzero" class:"replace" format:"umask"`
	// Hostname is the container's host name. Default: its name.
	Hostname string `json:"hostname,omitzero" class:"replace" format:"hostname"`
	// Domainname is the NIS domain name that setdomainname(2) sets. Default: none.
	Domainname string `json:"domainname,omitzero" class:"replace" format:"hostname"`
	// TTY gives the command a terminal as its standard input, output and error.
	TTY bool `json:"tty,omitzero" class:"replace"`
	// Stdin keeps the standard input open for `reconciler attach`; without it, it is /dev/null.
	Stdin bool `json:"stdin,omitzero" class:"replace"`
	// Init puts a tiny reaper and signal forwarder in front of the command as process 1.
	Init bool `json:"init,omitzero" class:"replace"`
	// Namespaces says which other namespaces are the container's own.
	Namespaces Namespaces `json:"namespaces,omitzero" class:"replace"`
	// Network says which network the container sees.
	Network Network `json:"network,omitzero" class:"replace"`
	// Mounts are further file systems inside the container, mounted in the order given; with base Standard, / and what is below /proc and /sys cannot be mounted over, but for a cgroup mount on /sys/fs/cgroup.
	Mounts []Mount `json:"mounts,omitzero" class:"replace"`
	// Devices are devices of the node that the container may use, beside /dev/null and the like.
	Devices []Device `json:"devices,omitzero" class:"replace"`
	// DeviceRules says exactly which devices the container may use; the last rule that fits counts, and what none fits is denied. What a start with base Standard makes in /dev may be made by all means. Default: any node may be made, but only null, zero, full, random, urandom, terminals and what devices lists may be used.
	DeviceRules []DeviceRule `json:"deviceRules,omitzero" class:"live"`
	// Security narrows or widens what the processes may do.
	Security Security `json:"security,omitzero" class:"replace"`
	// Sysctls are kernel parameters of the container's own namespaces, for example net.ipv4.ip_forward: "1". They begin with net. (not in the Host network) or fs.mqueue., or are kernel.msg*, kernel.shm* or kernel.sem; with a user namespace of its own also user.
	Sysctls map[string]string `json:"sysctls,omitzero" class:"replace" keys:"sysctl" format:"sysctlText"`
	// Rlimits are resource limits of setrlimit(2), by lower-case name without RLIMIT_, for example nofile.
	Rlimits map[string]Rlimit `json:"rlimits,omitzero" class:"replace" keys:"rlimit"`
	// OOMScoreAdj is added to the badness by which the kernel picks a victim when memory runs out, -1000 to 1000. See proc_pid_oom_score_adj(5). Default 0; with base None what the agent has.
	OOMScoreAdj OOMScore `json:"oomScoreAdj,omitzero" class:"replace" min:"-1000" max:"1000"`
	// Scheduler says how the kernel shares processors with the command. See sched(7).
	Scheduler Scheduler `json:"scheduler,omitzero" class:"replace"`
	// IOPriority says how the block layer shares disks with the command. See ioprio_set(2).
	IOPriority IOPriority `json:"ioPriority,omitzero" class:"replace"`
	// CPUAffinity says which processors the command runs on, of those that resources.cpuset leaves it.
	CPUAffinity CPUAffinity `json:"cpuAffinity,omitzero" class:"replace"`
	// MemoryPolicy says on which nodes of a NUMA machine the command's memory is. See set_mempolicy(2).
	MemoryPolicy MemoryPolicy `json:"memoryPolicy,omitzero" class:"replace"`
	// Personality is the execution domain of the command. See personality(2).
	Personality Personality `json:"personality,omitzero" class:"replace"`
	// Hooks are programs that run at points of the container's life.
	Hooks Hooks `json:"hooks,omitzero" class:"replace"`
	// Resources are the limits, written to cgroup files and changed without a restart.
	Resources Resources `json:"resources,omitzero" class:"live"`
	// Pressure says how much time the processes may lose to waiting before an event tells of it.
	Pressure Pressure `json:"pressure,omitzero" class:"live"`
	// Restart says what happens when the process exits.
	Restart Restart `json:"restart,omitzero" class:"live"`
	// Deadline is how long the container may take from the first start of its instance until it has completed, restarts included; then it is stopped, and has failed until its manifest changes or somebody restarts it. Default: no end.
	Deadline Duration `json:"deadline,omitzero" class:"live" min:"1ms"`
	// DependsOn are containers that have to be so far before this one is started. They are stopped after it when both have to end.
	DependsOn []Dependency `json:"dependsOn,omitzero" class:"live"`
	// Stop says how the container is asked to end.
	Stop Stop `json:"stop,omitzero" class:"live"`
	// Probes say how it is found out whether the container has started, is ready and lives.
	Probes Probes `json:"probes,omitzero" class:"live"`
	// Lifecycle are things to do in the container after its process has started and before it is asked to end.
	Lifecycle Lifecycle `json:"lifecycle,omitzero" class:"live"`
	// Update says when a changed manifest has proven itself, and what happens when it does not.
	Update Update `json:"update,omitzero" class:"live"`
	// Checkpoint says when images of the container are taken, kept and restored.
	Checkpoint Checkpoint `json:"checkpoint,omitzero" class:"live"`
	// Logs says where the container's output goes, and bounds the files that keep it.
	Logs Logs `json:"logs,omitzero" class:"live"`
}

// Base is what a container has beside what its manifest says.
type Base string

// The bases.
const (
	BaseStandard Base = "Standard"
	BaseNone     Base = "None"
)

// State is what a manifest wants a container to be doing.
type State string

// The states a manifest can ask for.
const (
	StateRunning      State = "Running"
	StatePaused       State = "Paused"
	StateStopped      State = "Stopped"
	StateCheckpointed State = "Checkpointed"
)

// DeletionPolicy says what becomes of a container without a manifest.
type DeletionPolicy string

// The deletion policies.
const (
	DeletionStop       DeletionPolicy = "Stop"
	DeletionCheckpoint DeletionPolicy = "Checkpoint"
	DeletionOrphan     DeletionPolicy = "Orphan"
)

// Rootfs is where a container's root file system comes from. One of its sources is set: path today.
type Rootfs struct {
	// Path is an absolute directory on the node. It is never written to, unless writable.medium is Direct: many containers can share one.
	Path string `json:"path" class:"replace" format:"path"`
	// ReadOnly makes / read-only inside the container.
	ReadOnly bool `json:"readOnly,omitzero" class:"replace"`
	// Writable is the layer that takes the container's writes; a rootfs that is readOnly has none.
	Writable Writable `json:"writable,omitzero" class:"replace"`
	// Propagation says how mounts made later pass between the node and the container's root: rprivate (not at all; default), rslave (from the node into the rootfs's own directory tree, with medium Direct; default of base None), rshared (also between the container's namespaces), runbindable; without r only / itself. See mount_namespaces(7).
	Propagation Propagation `json:"propagation,omitzero" class:"replace"`
}

// Writable is the writable layer above a rootfs: an overlay upper directory.
type Writable struct {
	// Medium is where writes are kept: Memory (a tmpfs, counted as the container's memory; default), Disk (below the state directory) or Direct (the rootfs directory itself).
	Medium Medium `json:"medium,omitzero" class:"replace"`
	// Size bounds the layer. Default 64Mi in Memory. On Disk it needs a file system with project quotas, and is unbounded when not said.
	Size Bytes `json:"size,omitzero" class:"replace" min:"64Ki"`
	// Life says when the layer is thrown away: Start (with each start of the process; default in Memory), Instance (kept over restarts; default on Disk) or Name (kept over replacements, until the manifest is removed).
	Life Life `json:"life,omitzero" class:"replace"`
}

// Medium is where a writable layer is kept.
type Medium string

// Life says how long a writable layer is kept.
type Life string

// The media and lives of a writable layer.
const (
	MediumMemory Medium = "Memory"
	MediumDisk   Medium = "Disk"
	MediumDirect Medium = "Direct"

	LifeStart    Life = "Start"
	LifeInstance Life = "Instance"
	LifeName     Life = "Name"
)

// Rlimit is one limit of setrlimit(2); -1 means unlimited.
type Rlimit struct {
	// Soft is the limit in force.
	Soft int64 `json:"soft" class:"replace" min:"-1"`
	// Hard is the ceiling the process may raise the soft limit to.
	Hard int64 `json:"hard" class:"replace" min:"-1"`
}

// Stop says how a container is asked to end: a signal to process 1, a wait, then the kill of its cgroup.
type Stop struct {
	// Signal is the name of the signal. Default SIGTERM.
	Signal string `json:"signal,omitzero" class:"live" format:"signal"`
	// Timeout is the wait before the kill. Default 30s.
	Timeout Duration `json:"timeout,omitzero" class:"live" min:"1ms"`
}

// Logs says where stdout and stderr go, and bounds the files that keep them.
type Logs struct {
	// Driver is where the output goes: File (the node's files; default, unless the node says another with run --log-driver), Journald (the journal, by way of the files, of which only what is not in the journal yet is kept), Both or None (nowhere). A change from or to None waits for the next start of the process.
	Driver LogDriver `json:"driver,omitzero" class:"live"`
	// MaxSize is the size at which a log file is rotated. Default 10Mi.
	MaxSize Bytes `json:"maxSize,omitzero" class:"live" min:"64Ki"`
	// MaxFiles is how many files are kept, the current one included. Default 5.
	MaxFiles int `json:"maxFiles,omitzero" class:"live" min:"1" max:"1000"`
}

// LogDriver is where a container's output goes.
type LogDriver string

// The log drivers.
const (
	LogFile     LogDriver = "File"
	LogJournald LogDriver = "Journald"
	LogBoth     LogDriver = "Both"
	LogNone     LogDriver = "None"
)

// LogDrivers are all of them.
func LogDrivers() []LogDriver { return []LogDriver{LogFile, LogJournald, LogBoth, LogNone} }

// Journal tells whether the output goes to the journal.
func (d LogDriver) Journal() bool { return d == LogJournald || d == LogBoth }
