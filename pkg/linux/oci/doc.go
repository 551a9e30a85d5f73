// Package oci runs containers as the OCI runtime specification describes them: a bundle's config.json becomes the same words as a manifest, and
// these the same start program. It knows that specification, the state directory of a runtime, and what engines expect of one; it refuses to
// know manifests' files, agents and keepers: every verb is a process of its own, and nothing stays behind but the container.
//
// A container's directory ROOT/ID holds state.json (what is, and what is about to be), config.json (a copy), and while it waits for its start two
// FIFOs. What a verb does is written down before it is done, so that a runtime that is killed leaves nothing that Delete with force
// does not find.
//
//	Create    directory, intent, cgroup, child --- parks --- mounts --- hooks --- privileges --- waits
//	Start     hooks --- the waiting child executes the command --- hooks
//	Delete    kills, removes the cgroup --- hooks --- the directory
package oci

//go:generate go run ../../../internal/genoci ../../../docs/oci.md
