package spec

import (
	"errors"
	"slices"
	"strings"

	yamltree "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// objects are the values whose fields depend on each other: each says by itself what is wrong with it, to a manifest and
// to a program that makes one.
var objects = []struct {
	path  []string
	check func(*yamltree.Node) (key string, err error)
}{
	{[]string{"namespaces", "time"}, checkObject[TimeNamespace]},
	{[]string{"scheduler"}, checkObject[Scheduler]},
	{[]string{"ioPriority"}, checkObject[IOPriority]},
	{[]string{"memoryPolicy"}, checkObject[MemoryPolicy]},
	{[]string{"security", "capabilities"}, checkObject[Capabilities]},
	{[]string{"security", "landlock"}, checkObject[Landlock]},
}

// agreeObjects checks them all.
func (c *checker) agreeObjects(spec *yamltree.Node) {
	for _, o := range objects {
		n := at(spec, o.path...)
		if n == nil || n.Kind != yamltree.MappingNode {
			continue
		}
		key, err := o.check(n)
		if err == nil {
			continue
		}
		path := "spec." + strings.Join(o.path, ".")
		if key != "" {
			path = joinField(path, key)
			if value := at(n, key); value != nil {
				n = value
			}
		}
		c.add(n, path, err)
	}
}

// checkObject reads a value and checks it. One that cannot be read, or has aliases, has other problems, which are reported where they are.
func checkObject[T interface {
	check() (key string, err error)
}](n *yamltree.Node) (key string, err error) {
	if hasAlias(n) {
		return "", nil
	}
	var v T
	text, err := yamltree.Marshal(n)
	if err != nil || yaml.Unmarshal(text, &v) != nil {
		return "", nil
	}
	return v.check()
}

// asOne is a problem of a value as an error with its key.
func asOne(key string, err error) error {
	if err == nil || key == "" {
		return err
	}
	return errors.New(key + ": " + err.Error())
}

// agreeUTS refuses names that would be the node's or another container's.
func (c *checker) agreeUTS(spec *yamltree.Node) {
	n := at(spec, "domainname")
	if uts := scalar(spec, "namespaces", "uts"); n != nil && uts != "" && uts != NamespacePrivate {
		c.add(n, "spec.domainname", fault{"the uts namespace is not the container's own", "remove it, or namespaces.uts"})
	}
}

// hasAlias tells a value that may be much larger than its text.
func hasAlias(n *yamltree.Node) bool {
	return n.Kind == yamltree.AliasNode || slices.ContainsFunc(n.Content, hasAlias)
}
