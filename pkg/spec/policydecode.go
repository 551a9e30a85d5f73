package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	yamltree "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// Reasons of a Problem that is not in the manifest itself.
const (
	ReasonPolicyDenied     = "PolicyDenied"     // the node's policy does not allow it
	ReasonSignatureInvalid = "SignatureInvalid" // nobody who may has signed it as it is
)

// DecodePolicy reads a file with one policy and reports every problem in it, in file order, as strictly as Decode.
func DecodePolicy(file string, data []byte) (*NodePolicy, Problems) {
	p, problems := decodePolicy(data)
	for i := range problems {
		problems[i].File = file
	}
	if len(problems) > 0 {
		return nil, problems
	}
	p.file = file
	return p, nil
}

func decodePolicy(data []byte) (*NodePolicy, Problems) {
	if problem, ok := checkText(data); !ok {
		return nil, Problems{problem}
	}
	sections := split(data)
	if len(sections) != 1 {
		return nil, Problems{{Line: 1, Column: 1, Message: fmt.Sprintf("%d documents, want one policy", len(sections))}}
	}
	s := sections[0]
	if _, problems := checkOne(s, trees()[KindPolicy]); len(problems) > 0 {
		return nil, problems
	}
	p := &NodePolicy{}
	if err := yaml.UnmarshalStrict(s.text, p); err != nil {
		return nil, Problems{undecodable(s, "", err)}
	}
	return p, nil
}

// checkOne finds every problem of a document that is no manifest: what its tree of fields does not allow.
func checkOne(s section, tree *Field) (*yamltree.Node, Problems) {
	root, err := parse(s.text)
	if err != nil {
		return nil, Problems{syntaxProblem(s, err)}
	}
	c := checker{offset: s.line}
	if c.plainNode("", root) {
		dropEmpty(root, tree)
		c.objectValue("", tree, root)
	}
	return root, c.sorted()
}

// refuse finds what the containers of one document ask for and may not have, at the places where they do.
func (p *NodePolicy) refuse(s section, root *yamltree.Node, documents []Document) (problems Problems) {
	if p == nil {
		return nil
	}
	for i := range documents {
		c := &documents[i].Container
		if documents[i].Config != nil {
			continue
		}
		for _, rule := range policyRules {
			if !rule.said(&p.Spec) {
				continue
			}
			for _, b := range rule.check(&p.Spec, &c.Spec) {
				n, path := locate(root, c, b.at)
				problems = append(problems, Problem{
					Line: s.line + n.Line, Column: n.Column, Path: path, Name: c.Metadata.Name, Reason: ReasonPolicyDenied,
					Message: b.message, Hint: "rule spec." + rule.name + " of the node's policy " + cmp.Or(p.file, p.Metadata.Name),
				})
			}
		}
	}
	problems.sort()
	return problems
}

// Allows tells whether a container may be as it is, whatever manifest it comes from. A policy that is nil allows all.
func (p *NodePolicy) Allows(c Container) bool {
	return p == nil || !slices.ContainsFunc(policyRules, func(rule policyRule) bool {
		return rule.said(&p.Spec) && len(rule.check(&p.Spec, &c.Spec)) > 0
	})
}

// locate finds the value at keys below a container's spec, or the nearest that is said above it, and the path of what was meant.
func locate(root *yamltree.Node, c *Container, keys []string) (*yamltree.Node, string) {
	whole := append([]string{"spec"}, keys...)
	if c.Spec.Group != "" {
		whole = inGroup(strings.TrimPrefix(c.Metadata.Name, c.Spec.Group+"-"), keys)
	}
	if !c.Spec.Job.IsZero() {
		whole = append([]string{"spec", "template"}, keys...)
	}
	n, path, lost := root, "", false
	for _, key := range whole {
		index, err := strconv.Atoi(key)
		isIndex := err == nil && n.Kind == yamltree.SequenceNode
		if isIndex {
			path += "[" + key + "]"
		} else {
			path = joinKey(path, key)
		}
		var below *yamltree.Node
		switch {
		case lost:
		case !isIndex:
			below = at(n, key)
		case index < len(n.Content):
			below = n.Content[index]
		}
		if lost = lost || below == nil; !lost {
			n = below
		}
	}
	return n, path
}

// inGroup is where a group says what its containers have: in one place for all of them, or in that container.
func inGroup(member string, keys []string) []string {
	owned := slices.ContainsFunc(groupOwned, func(o ownedKey) bool { return o.key == keys[0] })
	switch {
	case owned:
		return append([]string{"spec"}, keys...)
	case len(keys) > 1 && keys[0] == "namespaces" && keys[1] == "user":
		return append([]string{"spec"}, keys[1:]...)
	}
	return append([]string{"spec", "containers", member}, keys...)
}
