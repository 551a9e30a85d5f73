package spec

import (
	"maps"
	"slices"

	yamltree "go.yaml.in/yaml/v3"
)

// KindGroup is the kind of several containers that belong together.
const KindGroup = "Group"

// Group is one manifest document: several containers that share their network, ipc and uts namespaces, and are frozen and thawed together. Each is a container of its own, GROUP-NAME, with its own life, limits and output.
type Group struct {
	// APIVersion is the version of the manifest's words: reconciler/v1alpha1.
	APIVersion string `json:"apiVersion" format:"apiVersion"`
	// Kind is the kind of object: Group.
	Kind string `json:"kind" format:"kind"`
	// Metadata names the group; its labels and annotations are those of every container.
	Metadata Metadata `json:"metadata"`
	// Spec is what the group should be.
	Spec GroupSpec `json:"spec"`
}

// GroupSpec is the desired group.
type GroupSpec struct {
	// State is what all containers should be doing: Running (default), Paused, Stopped, or Checkpointed (their images are taken at one moment).
	State State `json:"state,omitzero" class:"live"`
	// Suspend keeps the agent from doing anything about the containers.
	Suspend bool `json:"suspend,omitzero" class:"live"`
	// DeletionPolicy says what becomes of the containers when the manifest is removed, as that of a container.
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitzero" class:"live"`
	// Hostname is the host name of all containers. Default: the group's name.
	Hostname string `json:"hostname,omitzero" class:"replace" format:"hostname"`
	// Domainname is the NIS domain name of all containers. Default: none.
	Domainname string `json:"domainname,omitzero" class:"replace" format:"hostname"`
	// User is the namespace of users, groups and capabilities that all containers share.
	User UserNamespace `json:"user,omitzero" class:"replace"`
	// Network says which network the containers see; they reach each other on localhost.
	Network Network `json:"network,omitzero" class:"replace"`
	// Sysctls are kernel parameters of the shared namespaces, as those of a container.
	Sysctls map[string]string `json:"sysctls,omitzero" class:"replace" keys:"sysctl" format:"sysctlText"`
	// Containers are the group's, by name: each has the keys of a container's spec but state, hostname, domainname, network, sysctls, and the namespaces that are shared.
	Containers map[string]ContainerSpec `json:"containers" class:"replace" keys:"name"`
}

// groupOwned are the keys of a container that its group says, with the place where the group says it.
var groupOwned = []ownedKey{
	{"state", "spec.state"},
	{"suspend", "spec.suspend"},
	{"deletionPolicy", "spec.deletionPolicy"},
	{"hostname", "spec.hostname"},
	{"domainname", "spec.domainname"},
	{"network", "spec.network"},
	{"sysctls", "spec.sysctls"},
	{"group", ""},
	{"job", ""},
}

// ownedKey is a key of a container that something else says, with the place where it does, if it does.
type ownedKey struct{ key, instead string }

// groupShared are the namespaces that a group's containers share.
var groupShared = []string{"ipc", "uts", "user"}

// Expand gives the group's containers, in the order of their names.
func (g Group) Expand() []Container {
	var all []Container
	for _, name := range slices.Sorted(maps.Keys(g.Spec.Containers)) {
		c := Container{APIVersion: g.APIVersion, Kind: KindContainer, Metadata: g.Metadata, Spec: g.Spec.Containers[name]}
		c.Metadata.Name = memberName(g.Metadata.Name, name)
		c.Spec.Group = g.Metadata.Name
		c.Spec.State, c.Spec.Network, c.Spec.Sysctls = g.Spec.State, g.Spec.Network, g.Spec.Sysctls
		c.Spec.Suspend, c.Spec.DeletionPolicy = g.Spec.Suspend, g.Spec.DeletionPolicy
		c.Spec.DependsOn = g.siblings(c.Spec.DependsOn)
		c.Spec.Domainname, c.Spec.Namespaces.User = g.Spec.Domainname, g.Spec.User
		if c.Spec.Hostname = g.Spec.Hostname; c.Spec.Hostname == "" {
			c.Spec.Hostname = g.Metadata.Name
		}
		all = append(all, c)
	}
	return all
}

// siblings are dependencies in which those of the group's own containers have their full names.
func (g Group) siblings(list []Dependency) []Dependency {
	list = slices.Clone(list)
	for i, d := range list {
		if _, ok := g.Spec.Containers[d.Name]; ok {
			list[i].Name = memberName(g.Metadata.Name, d.Name)
		}
	}
	return list
}

// memberName is the name of a group's container.
func memberName(group, name string) string { return group + "-" + name }

// agreeGroup checks what a group's fields say together, and its containers as containers.
func (c *checker) agreeGroup(root *yamltree.Node) {
	spec := at(root, "spec")
	c.agreeNetwork(spec)
	c.agreeSysctls(spec)
	group, containers := scalar(root, "metadata", "name"), at(spec, "containers")
	if containers != nil && containers.Kind == yamltree.MappingNode && len(containers.Content) == 0 {
		c.add(containers, "spec.containers", faultf("is empty"))
	}
	for key, value := range keys(containers) {
		if name := memberName(group, key.Value); ValidName(group) == nil && ValidName(key.Value) == nil && ValidName(name) != nil {
			c.add(key, joinKey("spec.containers", key.Value), fault{quote(name) + " would be the container's name, which is too long", "shorten the group's name or this one"})
		}
		c.member = joinKey("spec.containers", key.Value)
		c.agreeMember(value)
		c.agreeContainer(value)
		if scalar(spec, "state") == string(StateCheckpointed) && at(value, "checkpoint") == nil {
			c.agreeSavable(value)
		}
		c.member = ""
	}
}

// agreeMember refuses what only the group can say.
func (c *checker) agreeMember(spec *yamltree.Node) {
	c.agreeOwned(spec, groupOwned, "is said by the group for all its containers")
	for _, kind := range groupShared {
		if n := at(spec, "namespaces", kind); n != nil {
			c.add(n, "spec.namespaces."+kind, fault{"the containers of a group share this namespace", "remove it"})
		}
	}
	if n := at(spec, "namespaces", "pid"); n != nil {
		if _, joined := JoinedContainer(n.Value); joined {
			c.add(n, "spec.namespaces.pid", fault{sharedPID, "leave it private: the containers see each other on localhost and in shared memory"})
		}
	}
}

// agreeOwned refuses keys of a container that something else says.
func (c *checker) agreeOwned(spec *yamltree.Node, keys []ownedKey, why string) {
	for _, owned := range keys {
		if n := at(spec, owned.key); n != nil {
			f := fault{message: why}
			if owned.instead != "" {
				f.hint = "say " + owned.instead
			}
			c.add(n, "spec."+owned.key, f)
		}
	}
}

// sharedPID is why a group's containers do not share a process namespace.
const sharedPID = "a process namespace ends with its first process: the end of one container would kill all others, and none could be restarted alone"
