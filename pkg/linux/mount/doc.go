// Package mount builds a container's file system tree: the root with its writable layer, proc, sys and dev, the
// manifest's mounts, devices, the console, hidden and read-only paths, and the move into it. It knows mounts, descriptors and
// hostile trees; it refuses to know processes, cgroups, users and who runs the program it writes.
//
// A start goes through four steps, of which only Open and NewConsole touch the kernel's mounts and only Append is seen by the child:
//
//	Look(c, facts)     -> Facts   what the caller, the node and the rootfs have
//	NewPlan(c, facts)  -> Plan    a value to print and compare
//	plan.Open(user)    -> Files   detached mounts of the rootfs, the layer and the bind sources, for one start
//	Append(p, plan)               the child's system calls
//
// A container has the standard mounts, with the manifest's in their place or beside them; with base None it has the listed ones and
// no other. With a user namespace, the tree is built by the node's superuser with the container's ids: the child takes the
// file system ids of the container's superuser, the rootfs is id-mapped (but not with base None, whose rootfs somebody has
// shifted already), and the namespace is entered later. Binds keep their owners unless they say idmap.
//
// The laws that keep a hostile image or volume from reaching the node:
//
//   - Below the container's root, a path is used once: openat2(2) with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS turns
//     it into a descriptor, and the mount moves from descriptor to descriptor.
//   - proc, sysfs and dev go onto ordinary directories of the root file system itself, after the manifest's other
//     mounts: nothing that a link led astray can lie over them. With base None the manifest's order holds, but proc is
//     covered until all is mounted, and what is below it comes last.
//   - Sysctls are written through a proc mount before anything else can see it.
//   - Devices, masks and terminals come from file systems made here, never from the image; a device elsewhere than in a
//     /dev made here is bound, so that no node is left in a rootfs.
//   - The rootfs directory is never written to, unless the manifest wants its writes there (Direct): then only what it lacks
//     of the mount points is made, by bare names in directories held open.
//   - A word that has no effect is an error.
package mount
