// Package tree saves the files of a stopped container as a tar and puts them back: what its root has that its rootfs has not,
// and whole trees. It knows directories by their descriptors; it refuses to know containers, mounts and where an archive is kept.
//
// An archive is a plain PAX tar with relative names, readable by every tar: first "./", then each directory before what is in it. Holes are
// those of GNU.sparse 1.0, extended attributes SCHILY.xattr. What is put back comes from this format alone, and is hostile: nothing of it
// is resolved but bare names, one after the other, below the directory that the caller gave.
//
// Sockets are left out. Criu binds again those that a process holds, with their owner and mode, once it has unlinked a socket that is there,
// but fails on any other file (criu/sk-unix.c, unlink_sk and bind_unix_sk): so one that hides a file of the rootfs counts as deleted.
package tree
