// Package generated holds this runtime to Debian's runc: both start containers of the same generated configurations, and a program inside tells
// what it sees. It knows neither but its command line; where they may differ is a table with a reason for each row.
//
// Not generated, because no runc of a Debian release knows it: domainname, scheduler, ioPriority, personality, time namespaces, memory policies, seccomp flags
// and idmapped mounts.
package generated
