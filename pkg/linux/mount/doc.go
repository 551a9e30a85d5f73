// Package mount builds a container's file system tree: the root with its writable layer, proc, sys and dev, the
// manifest's mounts, hidden and read-only paths, and the move into it. It knows mounts, descriptors and hostile trees;
// it refuses to know processes, cgroups, users and who runs the program it writes.
//
// A start goes through four steps, of which only Open touches the kernel's mounts and only Append is seen by the child:
//
//	Look(c, layer)     -> Facts   what the node and the rootfs have
//	NewPlan(c, facts)  -> Plan    a value to print and compare
//	plan.Open()        -> Files   detached mounts of the rootfs, the layer and the bind sources, for one start
//	Append(p, plan)               the child's system calls
//
// The laws that keep a hostile image or volume from reaching the node:
//
//   - Below the container's root, a path is used once: openat2(2) with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS turns
//     it into a descriptor, and the mount moves from descriptor to descriptor.
//   - proc, sysfs and dev go onto ordinary directories of the root file system itself, after the manifest's other
//     mounts: nothing that a link led astray can lie over them.
//   - Sysctls are written through the proc mount before anything else can see it.
//   - Devices and masks come from file systems made here, never from the image.
//   - The rootfs directory is never written to.
package mount
