// Package engines has podman and containerd run containers with this runtime and with the runtimes that the machine has: what is right
// with one of those is right with this one, seen from inside. It knows engines by their command lines and nothing of the runtimes.
package engines
