package spec

import (
	yamltree "go.yaml.in/yaml/v3"
)

// agreePressure checks that a trigger says what it is about, and no more than its window holds.
func (c *checker) agreePressure(spec *yamltree.Node) {
	for key, trigger := range keys(at(spec, "pressure")) {
		path := joinKey("spec.pressure", key.Value)
		if trigger.Kind != yamltree.MappingNode {
			continue
		}
		if at(trigger, "some") == nil && at(trigger, "full") == nil {
			c.add(trigger, path, fault{"says nothing about how much", "set some: 150ms, or full"})
		}
		window := DefaultPressureWindow
		if said, err := ParseDuration(scalar(trigger, "window")); err == nil {
			window = said
		}
		for _, kind := range []string{"some", "full"} {
			if d, err := ParseDuration(scalar(trigger, kind)); err == nil && d > window {
				c.add(at(trigger, kind), path+"."+kind, faultf("%s is more than its window, %s", d, window))
			}
		}
	}
}
