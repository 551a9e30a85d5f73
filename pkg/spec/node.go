package spec

import (
	"slices"

	yamltree "go.yaml.in/yaml/v3"
)

// mergeTag is the tag of the key << without quotes.
const mergeTag = "!!merge"

// what names a node's kind for a message.
func what(n *yamltree.Node) string {
	switch {
	case n.Kind == yamltree.SequenceNode:
		return "a list"
	case n.Kind == yamltree.MappingNode:
		return "an object"
	case isNull(n):
		return "nothing"
	}
	return "the text " + quote(n.Value)
}

// at is the value below nested keys of a tree, nil when there is none.
func at(n *yamltree.Node, keys ...string) *yamltree.Node {
	for _, key := range keys {
		if n == nil || n.Kind != yamltree.MappingNode {
			return nil
		}
		var found *yamltree.Node
		for pair := range slices.Chunk(n.Content, 2) {
			if pair[0].Kind == yamltree.ScalarNode && pair[0].Value == key {
				found = pair[1]
				break
			}
		}
		n = found
	}
	return n
}

// scalar is the text of the value below nested keys, "" when there is none.
func scalar(n *yamltree.Node, keys ...string) string {
	if n = at(n, keys...); n == nil || n.Kind != yamltree.ScalarNode {
		return ""
	}
	return n.Value
}

// keys are the keys and values of a map in a tree.
func keys(n *yamltree.Node) func(yield func(key, value *yamltree.Node) bool) {
	return func(yield func(key, value *yamltree.Node) bool) {
		if n == nil || n.Kind != yamltree.MappingNode {
			return
		}
		for pair := range slices.Chunk(n.Content, 2) {
			if !yield(pair[0], pair[1]) {
				return
			}
		}
	}
}

// isPlain tells a scalar without quotes, which YAML may read as something other than a text.
func isPlain(n *yamltree.Node) bool {
	return n.Style&(yamltree.SingleQuotedStyle|yamltree.DoubleQuotedStyle|yamltree.LiteralStyle|yamltree.FoldedStyle) == 0
}

func isNull(n *yamltree.Node) bool {
	return n.Kind == yamltree.ScalarNode && isPlain(n) && slices.Contains([]string{"", "~", "null", "Null", "NULL"}, n.Value)
}
