package spec

import (
	"fmt"

	yamltree "go.yaml.in/yaml/v3"
)

// agreeCheckpoint checks what is said of images: with each other, and with what can never be in one.
func (c *checker) agreeCheckpoint(spec *yamltree.Node) {
	checkpoint := at(spec, "checkpoint")
	every, errEvery := ParseDuration(scalar(checkpoint, "every"))
	pause, errPause := ParseDuration(scalar(checkpoint, "maxPause"))
	if n := at(checkpoint, "maxPause"); errEvery == nil && errPause == nil && pause > every {
		c.add(n, "spec.checkpoint.maxPause", fault{fmt.Sprintf("%s is more than every, %s: the container might never run", pause, every), "lower it, or say a longer every"})
	}
	asked := checkpoint
	if n := at(spec, "state"); asked == nil && scalar(spec, "state") == string(StateCheckpointed) {
		asked = n
	}
	if asked != nil {
		c.agreeSavable(spec)
	}
}

// agreeSavable refuses what no image can hold.
func (c *checker) agreeSavable(spec *yamltree.Node) {
	pid := scalar(spec, "namespaces", "pid")
	if pid == "" || pid == NamespacePrivate {
		return
	}
	c.add(at(spec, "namespaces", "pid"), "spec.namespaces.pid", fault{
		"the processes of such a namespace are not the container's alone, so that no image can be taken or restored", "remove it, or checkpoint",
	})
}

// agreeOrigin refuses a container that begins from its own newest image by the word for another's.
func (c *checker) agreeOrigin(root, spec *yamltree.Node) {
	name := scalar(root, "metadata", "name")
	if n := at(spec, "checkpoint", "from"); n != nil && name != "" && n.Value == name {
		c.add(n, "spec.checkpoint.from", fault{"is the container itself", fmt.Sprintf("say restoreOnStart: %s, or a certain image: %s/ID", RestoreLatest, name)})
	}
}
