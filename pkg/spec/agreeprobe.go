package spec

import (
	"slices"
	"strconv"
	"strings"

	yamltree "go.yaml.in/yaml/v3"
)

// probeKinds are the kinds of a probe, of which one is said; probeTimes are what only one that asks has.
var (
	probeKinds = []string{"http", "tcp", "grpc", "exec", "notify"}
	probeTimes = []string{"period", "timeout", "initialDelay", "failureThreshold", "successThreshold"}
)

// agreeProbes checks that each probe is of one kind, and says what its place can have.
func (c *checker) agreeProbes(spec *yamltree.Node) {
	for key, probe := range keys(at(spec, "probes")) {
		if probe.Kind == yamltree.MappingNode {
			c.agreeProbe(joinKey("spec.probes", key.Value), key.Value, probe)
		}
	}
}

func (c *checker) agreeProbe(path, place string, probe *yamltree.Node) {
	kinds := saidKinds(probe, probeKinds)
	switch {
	case len(kinds) == 0:
		c.add(probe, path, fault{"says not what to ask", "say one of " + strings.Join(probeKinds, ", ")})
	case len(kinds) > 1:
		c.add(kinds[1], joinField(path, kinds[1].Value), fault{kinds[0].Value + " is said already", "a probe is of one kind: remove one"})
	case kinds[0].Value == "notify":
		c.agreeNotify(path, place, kinds[0], probe)
	}
	c.agreeCommand(joinField(path, "exec.command"), at(probe, "exec", "command"))
	if n := at(probe, "successThreshold"); n != nil && place != "readiness" {
		if times, err := strconv.Atoi(n.Value); err == nil && times > 1 {
			c.add(n, joinField(path, "successThreshold"), fault{"one success is enough here", "only readiness can ask for more"})
		}
	}
}

// saidKinds are the keys of the kinds that an object says, in its order. A switch that is off says nothing.
func saidKinds(n *yamltree.Node, all []string) (kinds []*yamltree.Node) {
	for key, value := range keys(n) {
		if slices.Contains(all, key.Value) && (key.Value != "notify" || value.Value != "false") {
			kinds = append(kinds, key)
		}
	}
	return kinds
}

// agreeNotify checks a probe that waits to be told.
func (c *checker) agreeNotify(path, place string, notify, probe *yamltree.Node) {
	if place == "liveness" {
		c.add(notify, joinField(path, "notify"), fault{"nobody says that he is beyond help", "say what to ask: http, tcp, grpc or exec"})
	}
	for key := range keys(probe) {
		if slices.Contains(probeTimes, key.Value) {
			c.add(key, joinField(path, key.Value), fault{"is of no use with notify, which asks nothing", "remove it"})
		}
	}
}
