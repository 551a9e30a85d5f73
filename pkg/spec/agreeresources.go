package spec

import (
	"fmt"
	"strings"

	yamltree "go.yaml.in/yaml/v3"
)

// exclusive are limits of which one at most can be said: they are one value to the kernel.
var exclusive = []struct{ first, second []string }{
	{[]string{"cpu", "weight"}, []string{"cpu", "shares"}},
	{[]string{"cpu", "weight"}, []string{"cpu", "idle"}},
	{[]string{"cpu", "shares"}, []string{"cpu", "idle"}},
	{[]string{"io", "weight"}, []string{"io", "blkioWeight"}},
}

// agreeResources checks limits that exclude each other.
func (c *checker) agreeResources(spec *yamltree.Node) {
	resources := at(spec, "resources")
	for _, e := range exclusive {
		first, second := at(resources, e.first...), at(resources, e.second...)
		if first != nil && second != nil {
			c.add(second, "spec.resources."+strings.Join(e.second, "."), faultf("%s and %s exclude each other", e.second[1], e.first[1]))
		}
	}
	for key := range keys(at(resources, "unified")) {
		if path := strings.Split(key.Value, "."); len(path) == 2 && at(resources, path...) != nil {
			c.add(key, joinKey("spec.resources.unified", key.Value), faultf("is said by spec.resources.%s as well", key.Value))
		}
	}
}

// agreeDevices checks what each device says for itself, and that no two have one path.
func (c *checker) agreeDevices(spec *yamltree.Node) {
	devices := at(spec, "devices")
	if devices == nil || devices.Kind != yamltree.SequenceNode {
		return
	}
	lines := map[string]int{}
	for i, d := range devices.Content {
		path := fmt.Sprintf("spec.devices[%d]", i)
		c.agreeDevice(path, d)
		if where := at(d, "path"); where != nil {
			if line, doubled := lines[where.Value]; doubled {
				c.add(where, path+".path", fault{quote(where.Value) + " already is another device", fmt.Sprintf("it is in line %d", line)})
			}
			lines[where.Value] = c.offset + where.Line
		}
	}
}

func (c *checker) agreeDevice(path string, d *yamltree.Node) {
	kind := scalar(d, "type")
	numbered := kind == string(DeviceChar) || kind == string(DeviceBlock)
	for _, number := range []string{"major", "minor"} {
		switch n := at(d, number); {
		case kind == "" && n != nil:
			c.add(n, path+"."+number, fault{"belongs to a device of a type that is said", "add type: c or type: b"})
		case kind == string(DevicePipe) && n != nil:
			c.add(n, path+"."+number, fault{"a pipe has no numbers", "remove it"})
		case numbered && n == nil && d.Kind == yamltree.MappingNode:
			c.add(d, path+"."+number, fault{"is missing", "a device of a type that is said has a major and a minor number"})
		}
	}
	if source := at(d, "source"); source != nil && kind != "" {
		c.add(source, path+".source", fault{"a device of a type that is said has no source", "remove one of them"})
	}
}
