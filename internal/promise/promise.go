// Package promise says what a container finds that says nothing of it, as rows of text taken from the very tables and plans
// that a start is made of. It knows how to ask them; it refuses to know anything that they do not say. The page docs/container.md is
// written from it, and a test of pkg/linux reads the same rows from inside a container.
package promise

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Name is the container that the rows speak of.
const Name = "web"

// Section is one table: facts first, then what explains them.
type Section struct {
	Title string
	// Text is what stands above the table.
	Text    string
	Columns []string
	// Facts is how many of the columns can be read from inside a container.
	Facts int
	Rows  [][]string
}

// Node is what a node has to give, which bounds what it can promise.
type Node struct {
	Capability capability.Node
	Ceilings   attribute.Ceilings
}

// perNode is a limit that each node derives for itself.
const perNode = 1 << 62

// Ideal is a node that lacks nothing.
func Ideal() Node {
	n := Node{Capability: capability.Node{Have: capability.UpTo(unix.CAP_LAST_CAP), Last: unix.CAP_LAST_CAP}}
	n.Ceilings.NrOpen = unix.RLIM_INFINITY
	for i := range n.Ceilings.Hard {
		n.Ceilings.Hard[i] = unix.RLIM_INFINITY
	}
	n.Ceilings.Hard[unix.RLIMIT_SIGPENDING] = perNode
	return n
}

// Container is a container that says what it must, and nothing else.
func Container(root string, command ...string) spec.Container {
	return spec.Container{
		APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: Name},
		Spec: spec.ContainerSpec{Rootfs: spec.Rootfs{Path: root}, Command: command},
	}
}

// Promise is all sections, for a container whose superuser has a home directory.
type Promise struct {
	node Node
	spec spec.ContainerSpec // defaulted
	tree mount.Plan
	home string
}

// Of asks the packages for their plans of a container that says nothing. It panics when they have none, which is a fault of this program.
func Of(node Node, home string) Promise {
	c := spec.Defaulted(Container("/rootfs", "/bin/sh"), spec.DefaultsVersion)
	var facts mount.Facts
	for file := range network.Files(c, network.Result{}, network.NodeFiles{}) {
		facts.Injected = append(facts.Injected, mount.Injected{Destination: "/etc/" + file, Source: "/" + file})
	}
	slices.SortFunc(facts.Injected, func(a, b mount.Injected) int { return strings.Compare(a.Destination, b.Destination) })
	tree, err := mount.NewPlan(c, facts)
	must(err)
	return Promise{node: node, spec: c.Spec, tree: tree, home: home}
}

// Sections are all of them, in the order of the page.
func (p Promise) Sections() []Section {
	return []Section{
		p.identity(), p.namespaces(), p.mounts(), p.hidden(), p.devices(), p.links(), p.deviceRules(), p.environment(),
		p.capabilities(), p.calls(), p.grantedCalls(), p.judgedCalls(), p.otherCalls(), p.sysctls(), p.limits(), p.inherited(),
	}
}

// Section is the one with a title.
func (p Promise) Section(title string) Section {
	all := p.Sections()
	return all[slices.IndexFunc(all, func(s Section) bool { return s.Title == title })]
}

// identity is who the process is.
func (p Promise) identity() Section {
	return Section{
		Title:   Identity,
		Text:    "The command is process 1 of its namespace. Its name is looked up in the rootfs, and so are users and groups: the node's are never asked.",
		Columns: []string{"what", "value", "key"}, Facts: 2,
		Rows: [][]string{
			{"process", "1", ""},
			{"user", p.spec.User, "`user`"},
			{"group", "0", "`user`, or that of the user in /etc/passwd"},
			{"umask", p.spec.Umask, "`umask`"},
			{"working directory", p.spec.WorkingDir, "`workingDir`"},
			{"host name", p.spec.Hostname, "`hostname`, or the container's name: here `" + Name + "`"},
			{"standard input", "/dev/null", "`stdin`, `tty`"},
			{"standard output", "fifo", "kept in the log"},
			{"standard error", "fifo", "kept in the log"},
			{"control group", "/", "its own is the root of what it sees"},
		},
	}
}

// environment is what the process finds in it.
func (p Promise) environment() Section {
	s := Section{
		Title:   Environment,
		Text:    "Nothing comes from the agent's or the keeper's own environment. `env` adds to these and replaces them.",
		Columns: []string{"variable", "value", "meaning"}, Facts: 2,
	}
	meaning := map[string]string{
		"HOME": "the user's directory in the rootfs's /etc/passwd, else `/`", "HOSTNAME": "the host name",
		"PATH": "where a command without a slash is looked for", "container": "by which programs such as systemd tell that they are in one",
	}
	for _, variable := range attribute.Environ(nil, p.home, p.spec.Hostname) {
		name, value, _ := strings.Cut(variable, "=")
		s.Rows = append(s.Rows, []string{name, value, meaning[name]})
	}
	return s
}

// inherited is attribute.Table.
func (p Promise) inherited() Section {
	s := Section{
		Title: Inherited,
		Text: "Everything a process can inherit, after fork(2), clone(2), execve(2) and prctl(2), and what the container's finds instead of the keeper's. " +
			"A word such as `scheduler` is a key of the manifest. *Kept* rows cannot be reset; the keeper does not have them set.",
		Columns: []string{"attribute", "what the container finds", "given by"}, Facts: 2,
	}
	by := map[attribute.How]string{
		attribute.ByEarly: "the start", attribute.ByLate: "the start", attribute.ByMount: "the start", attribute.ByClone: "the kernel, at clone3",
		attribute.ByExec: "the kernel, at execve", attribute.Kept: "*kept*",
	}
	for _, row := range attribute.Table {
		s.Rows = append(s.Rows, []string{row.Name, row.Value, by[row.How]})
	}
	return s
}

// The titles of the sections.
const (
	Identity     = "Identity"
	Namespaces   = "Namespaces"
	Mounts       = "Mounts"
	Hidden       = "Masked and read-only paths"
	Devices      = "Device nodes"
	Links        = "Links in /dev"
	DeviceRules  = "Device rules"
	Environment  = "Environment"
	Capabilities = "Capabilities"
	Calls        = "System calls"
	GrantedCalls = "System calls with a capability"
	JudgedCalls  = "System calls judged by argument"
	OtherCalls   = "Other entries into the kernel"
	Sysctls      = "Kernel parameters"
	Limits       = "Resource limits"
	Inherited    = "Inherited attributes"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}
