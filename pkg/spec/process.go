package spec

import "time"

// Process is one process of an instance, as /proc shows it. Its texts are the process's own to choose: they may hold anything.
type Process struct {
	// Pid is its number on the node, ContainerPid the one inside the container.
	Pid          int `json:"pid"`
	ContainerPid int `json:"containerPid"`
	PPid         int `json:"ppid"` // on the node
	// State is the kernel's letter: R, S, D, T, t, Z, I. See proc_pid_stat(5).
	State     string    `json:"state"`
	StartedAt time.Time `json:"startedAt"`
	UID       uint32    `json:"uid"` // the effective one, on the node
	Threads   int       `json:"threads"`
	// RSS is the resident memory in bytes.
	RSS uint64 `json:"rss"`
	// CPUUsec is the processor time of the process and its threads in microseconds.
	CPUUsec uint64 `json:"cpuUsec"`
	// Comm is the name, at most 15 bytes.
	Comm string `json:"comm"`
	// Command is the command line, shortened to 4 KiB; none of a process that has overwritten it, or has ended.
	Command []string `json:"command,omitempty"`
}
