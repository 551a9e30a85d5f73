package spec

import (
	"fmt"

	yamltree "go.yaml.in/yaml/v3"
)

// Dependency is a container that has to be so far before another is started.
type Dependency struct {
	// Name is the other container's name, or a group's, which stands for all its containers. One of the same group can be named as the group names it. It need not be there yet.
	Name string `json:"name" class:"live" format:"name"`
	// Condition is how far it has to be: Ready (default: its process runs and its startup and readiness probes succeed, or it has completed), Started (its process runs, or has run to completion), or Completed (it has exited with code 0 and is not restarted).
	Condition Milestone `json:"condition,omitzero" class:"live"`
}

// Milestone is how far a container can be.
type Milestone string

// The milestones, in the order of the words of a manifest.
const (
	MilestoneReady     Milestone = "Ready"
	MilestoneStarted   Milestone = "Started"
	MilestoneCompleted Milestone = "Completed"
)

// agreeDependencies refuses a container that is listed twice. Circles are seen only where all manifests are.
func (c *checker) agreeDependencies(spec *yamltree.Node) {
	list := at(spec, "dependsOn")
	if list == nil || list.Kind != yamltree.SequenceNode {
		return
	}
	seen := map[string]bool{}
	for i, item := range list.Content {
		name := at(item, "name")
		if name == nil {
			continue
		}
		if seen[name.Value] {
			c.add(name, fmt.Sprintf("spec.dependsOn[%d].name", i), fault{quote(name.Value) + " is listed already", "remove one of the two"})
		}
		seen[name.Value] = true
	}
}
