// Package criu is the criu program: where it is, whether it works here, and how it is talked to while it dumps and restores processes. It
// refuses to know containers, manifests and what is kept of an image: who calls says which process, which files and which directory.
//
// criu is started by someone else as `criu --no-default-config swrk FD` with FD the far end of Pair, see Command. The near end is a Conn: it
// sends one request, answers the notifications that come meanwhile, and reads the reply. Files that options name are opened by criu as
// /proc/PID/fd/N of the process that called Pair: it has to live, and to keep them open, until the verb returns.
//
//	         Dump                                Restore
//	pre-dump        tasks run           pre-restore
//	network-lock    tasks are stopped   setup-namespaces        pid
//	query-ext-files                     post-setup-namespaces
//	post-dump       images are whole    orphan-pts-master       descriptor
//	network-unlock  only if they go on  post-restore            pid, last chance to refuse
//	reply                               network-unlock
//	                                    pre-resume, post-resume too late to refuse
//	                                    reply
//
// A notification whose function returns an error makes criu undo what it did: the processes that were to be dumped run on, those that
// were being restored are killed.
package criu
