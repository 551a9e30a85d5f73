package spec

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	yamltree "go.yaml.in/yaml/v3"
)

// maxProblems bounds the problems reported of one document.
const maxProblems = 50

// checker collects the problems of one document.
type checker struct {
	offset   int    // lines of the file before the document
	member   string // the path of a group's container while it is checked as one
	problems Problems
}

// add reports an error in the value at a node; a fault brings its hint.
func (c *checker) add(n *yamltree.Node, path string, err error) {
	if c.full() {
		return
	}
	if below, ok := strings.CutPrefix(path, "spec."); ok && c.member != "" {
		path = c.member + "." + below
	}
	p := Problem{Line: c.offset + n.Line, Column: n.Column, Path: path, Message: err.Error()}
	if f, ok := errors.AsType[fault](err); ok {
		p.Hint = f.hint
	}
	c.problems = append(c.problems, p)
}

// full tells that looking for more problems is of no use.
func (c *checker) full() bool { return len(c.problems) >= maxProblems }

// sorted are the problems in file order, with a last one when some were left out.
func (c *checker) sorted() Problems {
	c.problems.sort()
	if c.full() {
		last := c.problems[len(c.problems)-1]
		last.Path, last.Message, last.Hint = "", "more problems than are shown", ""
		c.problems = append(c.problems, last)
	}
	return c.problems
}

// document checks a whole document. One that is of another version or kind has no other problems.
func (c *checker) document(root *yamltree.Node) {
	if !c.plainNode("", root) {
		return
	}
	if root.Kind != yamltree.MappingNode {
		c.add(root, "", faultf("wants an object with apiVersion, kind, metadata and spec, not %s", what(root)))
		return
	}
	if !c.ours(root) {
		return
	}
	if scalar(root, "kind") == KindGroup { // whose containers have other names
		c.object("", trees()[KindGroup], root)
		c.agreeGroup(root)
		return
	}
	kind := ""
	switch scalar(root, "kind") {
	case KindJob:
		c.object("", trees()[KindJob], root)
		c.agreeJob(root)
	case KindConfig:
		kind = KindConfig
		c.object("", trees()[KindConfig], root)
		c.agreeConfig(root)
	default:
		c.object("", fieldTree(), root)
		c.agree(root)
	}
	name := scalar(root, "metadata", "name")
	for i := range c.problems {
		if c.problems[i].Kind = kind; ValidName(name) == nil {
			c.problems[i].Name = name
		}
	}
}

// ours checks apiVersion and kind first: what they say decides what the rest means. Without both, it may mean anything.
func (c *checker) ours(root *yamltree.Node) bool {
	missing := 0
	for _, key := range []string{"apiVersion", "kind"} {
		if n := at(root, key); n != nil {
			c.value(key, fieldTree().find(key), n)
		} else {
			missing++
		}
	}
	if missing == 2 {
		hint := "begin with apiVersion: " + APIVersion + " and kind: " + KindContainer
		if at(root, "services") != nil {
			hint = "it looks like a compose file: docs/moving/compose.md says what each of its keys is here"
		}
		c.add(root, "", fault{"not a manifest: it has neither apiVersion nor kind", hint})
	}
	return len(c.problems) == 0
}

// plainNode refuses what makes a value depend on other places or on names of types.
func (c *checker) plainNode(path string, n *yamltree.Node) bool {
	switch {
	case n.Kind == yamltree.AliasNode:
		c.add(n, path, fault{"an alias of an anchor", aliasHint})
	case n.Anchor != "":
		c.add(n, path, fault{"the anchor &" + quoteBare(n.Anchor), "remove it: a value stands where it is used"})
	case n.Style&yamltree.TaggedStyle != 0:
		c.add(n, path, fault{"the tag " + quoteBare(n.Tag), tagHint})
	default:
		return true
	}
	return false
}

// value checks the value of a field.
func (c *checker) value(path string, f *Field, n *yamltree.Node) {
	switch {
	case c.full() || !c.plainNode(path, n):
	case isNull(n):
		c.add(n, path, fault{"has no value", "remove the key, or give it a value"})
	case f.shape == shapeList:
		c.list(path, f, n)
	case f.shape == shapeMap:
		c.mapping(path, f, n)
	case f.kind == kindObject:
		c.objectValue(path, f, n)
	case n.Kind != yamltree.ScalarNode:
		c.add(n, path, faultf("wants a %s, not %s", f.Type, what(n)))
	default:
		if err := checkScalar(f, n); err != nil {
			c.add(n, path, err)
		}
	}
}

func (c *checker) list(path string, f *Field, n *yamltree.Node) {
	if n.Kind != yamltree.SequenceNode {
		c.add(n, path, fault{fmt.Sprintf("wants a %s, not %s", f.Type, what(n)), listHint(f, n)})
		return
	}
	if f.Required && len(n.Content) == 0 {
		c.add(n, path, faultf("is empty"))
	}
	item := f.item()
	for i, v := range n.Content {
		c.value(fmt.Sprintf("%s[%d]", path, i), item, v)
	}
}

// mapping checks a map with keys of the user's own.
func (c *checker) mapping(path string, f *Field, n *yamltree.Node) {
	item := f.item()
	c.pairs(path, f, n, func(key *yamltree.Node) (string, *Field) {
		below := joinKey(path, shorten(key.Value))
		if err := trap(key); err != nil {
			c.add(key, below, err)
		} else if err := checkFormat(f.keys, key.Value); err != nil {
			c.add(key, below, err)
		}
		return below, item
	})
}

// objectValue checks an object that is somebody's value.
func (c *checker) objectValue(path string, f *Field, n *yamltree.Node) {
	if n.Kind != yamltree.MappingNode {
		c.add(n, path, fault{"wants an object, not " + what(n), foreignForm(f, n, keysHint("its", f))})
		return
	}
	c.object(path, f, n)
}

// object checks a map with the keys of a Go struct.
func (c *checker) object(path string, f *Field, n *yamltree.Node) {
	said := map[string]bool{}
	readable := c.pairs(path, f, n, func(key *yamltree.Node) (string, *Field) {
		below, found := joinKey(path, shorten(key.Value)), f.find(key.Value)
		said[key.Value] = true
		if found == nil {
			said[nearest(key.Value, f.names())] = true
			c.add(key, below, fault{"unknown field", unknownHint(f, key.Value)})
		}
		return below, found
	})
	for i := range f.Fields {
		if required := &f.Fields[i]; readable && required.Required && !said[required.name] {
			c.add(n, joinField(path, required.name), fault{"is missing", requiredHint(required)})
		}
	}
}

// pairs checks the keys of a map and the values of those that visit finds a field for; false when a key is not readable.
func (c *checker) pairs(path string, f *Field, n *yamltree.Node, visit func(key *yamltree.Node) (string, *Field)) bool {
	if n.Kind != yamltree.MappingNode {
		c.add(n, path, fault{fmt.Sprintf("wants a %s, not %s", f.Type, what(n)), foreignForm(f, n, "write KEY: VALUE, or {KEY: VALUE}")})
		return false
	}
	readable := true
	lines := map[string]int{}
	for pair := range slices.Chunk(n.Content, 2) {
		key, value := pair[0], pair[1]
		switch first, doubled := lines[key.Value]; {
		case c.full():
			return false
		case !c.plainNode(path, key):
			readable = false
		case key.Kind != yamltree.ScalarNode:
			readable = false
			c.add(key, path, faultf("a key is a text, not %s", what(key)))
		case key.Tag == mergeTag:
			readable = false
			c.add(key, path, fault{"a merge key <<", "write the keys out"})
		case doubled:
			c.add(key, joinKey(path, shorten(key.Value)), fault{"is said twice", fmt.Sprintf("the first is in line %d", c.offset+first)})
		default:
			lines[key.Value] = key.Line
			if below, found := visit(key); found != nil {
				c.value(below, found, value)
			}
		}
	}
	return readable
}
