package namespace

import (
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Kind is one kind of namespace that a container can have or not.
type Kind struct {
	Name string // below /proc/PID/ns, and of its descriptor in a program
	Flag int    // of clone(2) and setns(2)
	// Sandbox tells that it belongs to the container's name and outlives its processes: it is made before the first start.
	Sandbox bool

	word   func(spec.ContainerSpec) string // what the manifest says of it
	source func(*Plan) *Source
}

// Kinds are all of them, in the order in which they are joined.
var Kinds = []Kind{
	{FileNet, unix.CLONE_NEWNET, true, networkWord, func(p *Plan) *Source { return &p.Net }},
	{FileIPC, unix.CLONE_NEWIPC, true, func(s spec.ContainerSpec) string { return s.Namespaces.IPC }, func(p *Plan) *Source { return &p.IPC }},
	{FileUTS, unix.CLONE_NEWUTS, true, func(s spec.ContainerSpec) string { return s.Namespaces.UTS }, func(p *Plan) *Source { return &p.UTS }},
	{FileCgroup, unix.CLONE_NEWCGROUP, false, func(s spec.ContainerSpec) string { return s.Namespaces.Cgroup }, func(p *Plan) *Source { return &p.Cgroup }},
	{FilePID, unix.CLONE_NEWPID, false, func(s spec.ContainerSpec) string { return s.Namespaces.PID }, func(p *Plan) *Source { return &p.PID }},
}

// networkWord is what a network mode means as a namespace.
func networkWord(s spec.ContainerSpec) string {
	switch s.Network.Mode {
	case spec.NetworkHost:
		return spec.NamespaceHost
	case spec.NetworkJoin:
		return s.Network.Join
	}
	return spec.NamespacePrivate
}

// Wanted says where a container wants its namespace of this kind from.
func (k Kind) Wanted(s spec.ContainerSpec) Source {
	switch k.word(s) {
	case "", spec.NamespacePrivate:
		return New
	case spec.NamespaceHost:
		return Node
	}
	return Joined
}

// Of is the word for whose namespace is joined: container:NAME or a path. It means nothing unless Wanted is Joined.
func (k Kind) Of(s spec.ContainerSpec) string { return k.word(s) }
