// Package proc reads what /proc shows of processes: one process, and the network interfaces and mounts it sees. Each process is opened
// once and read through that descriptor, so that all that is said of it is said of the same one. It refuses to know which
// processes belong to whom.
//
// Deciding pages: proc_pid_stat(5), proc_pid_status(5), proc_pid_cmdline(5), proc_pid_net(5), proc_pid_mountinfo(5).
package proc
