package spec

import (
	"strconv"
	"strings"

	yamltree "go.yaml.in/yaml/v3"
)

// agree checks what fields say together. It reads the tree, so that it also works where other fields are wrong.
func (c *checker) agree(root *yamltree.Node) {
	spec := at(root, "spec")
	if n := at(spec, "group"); n != nil {
		c.add(n, "spec.group", fault{"cannot be said", "write a manifest of kind " + KindGroup + " with the containers below spec.containers"})
	}
	if n := at(spec, "job"); n != nil {
		c.add(n, "spec.job", fault{"cannot be said", "write a manifest of kind " + KindJob + " with the container below spec.template"})
	}
	c.agreeOrigin(root, spec)
	c.agreeContainer(spec)
}

// agreeContainer checks what the fields of a container's spec say together.
func (c *checker) agreeContainer(spec *yamltree.Node) {
	c.agreeCommand("spec.command", at(spec, "command"))
	c.agreePressure(spec)
	c.agreeRootfs(spec)
	c.agreeNetwork(spec)
	c.agreeSysctls(spec)
	c.agreeRlimits(spec)
	c.agreeRestart(spec)
	c.agreeDependencies(spec)
	c.agreeProbes(spec)
	c.agreeLifecycle(spec)
	c.agreeMounts(spec)
	c.agreeSeccomp(spec)
	c.agreeObjects(spec)
	c.agreeUTS(spec)
	c.agreeDevices(spec)
	c.agreeResources(spec)
	c.agreeCheckpoint(spec)
}

func (c *checker) agreeCommand(path string, command *yamltree.Node) {
	if command == nil || command.Kind != yamltree.SequenceNode || len(command.Content) == 0 {
		return
	}
	if n := command.Content[0]; n.Kind == yamltree.ScalarNode && n.Value == "" && !isNull(n) {
		c.add(n, path+"[0]", faultf("the program is an empty text"))
	}
}

func (c *checker) agreeRootfs(spec *yamltree.Node) {
	writable := at(spec, "rootfs", "writable")
	direct := scalar(writable, "medium") == string(MediumDirect)
	if writable != nil && !direct && scalar(spec, "rootfs", "readOnly") == "true" {
		c.add(writable, "spec.rootfs.writable", fault{"a read-only rootfs has no writable layer", "remove readOnly or writable"})
	}
	for key := range keys(writable) {
		if direct && (key.Value == "size" || key.Value == "life") {
			c.add(key, "spec.rootfs.writable."+key.Value, fault{"there is no layer with medium Direct", "remove it"})
		}
	}
}

func (c *checker) agreeSysctls(spec *yamltree.Node) {
	whose, shared := map[NetworkMode]fault{
		NetworkHost: {"would change the node's network", "set it on the node, or use network mode Private"},
		NetworkJoin: {"would change the network of another", "set it where the network is made"},
	}[NetworkMode(scalar(spec, "network", "mode"))]
	users := scalar(spec, "namespaces", "user", "mode") + scalar(spec, "user", "mode") // the second is a group's
	hostUsers := users == "" || users == string(UserHost)
	for key := range keys(at(spec, "sysctls")) {
		switch path := joinKey("spec.sysctls", key.Value); {
		case shared && strings.HasPrefix(key.Value, "net."):
			c.add(key, path, whose)
		case hostUsers && strings.HasPrefix(key.Value, SysctlUserPrefix):
			c.add(key, path, fault{"would change the node's limits on users", "set it on the node, or say namespaces.user"})
		}
	}
}

func (c *checker) agreeRlimits(spec *yamltree.Node) {
	for key, value := range keys(at(spec, "rlimits")) {
		soft, errSoft := strconv.ParseInt(scalar(value, "soft"), 10, 64)
		hard, errHard := strconv.ParseInt(scalar(value, "hard"), 10, 64)
		if errSoft == nil && errHard == nil && uint64(soft) > uint64(hard) {
			c.add(at(value, "soft"), joinKey("spec.rlimits", key.Value)+".soft", faultf("%d is more than hard, %d", soft, hard))
		}
	}
}
