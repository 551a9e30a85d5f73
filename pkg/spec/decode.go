package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	yamltree "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// Document is one valid container of a file.
type Document struct {
	Container Container
	Line      int // where its first key stands, from 1; in a group, its name
}

// Decode reads the documents of a manifest file and reports every problem of every document, in file order, under the given file name.
// A document with a problem is not among the documents; the others are. A problem without a Name may belong to any
// container of the file. Unknown, doubled, empty and wrongly typed fields are problems, and so are anchors, tags and
// texts that YAML 1.1 reads as something else. No file costs more than bounded time and memory.
func Decode(file string, data []byte) ([]Document, Problems) {
	return (*NodePolicy)(nil).Decode(file, data)
}

// Decode reads the documents of a manifest file as the function of that name does. One that asks for what the policy does not allow has problems
// with the Reason PolicyDenied, and is not among the documents.
func (p *NodePolicy) Decode(file string, data []byte) ([]Document, Problems) {
	problem, ok := checkText(data)
	if !ok {
		problem.File = file
		return nil, Problems{problem}
	}
	sections := split(data)
	switch {
	case len(sections) == 0:
		return nil, Problems{{File: file, Line: 1, Column: 1, Message: "no document", Hint: "remove the file to remove its containers"}}
	case len(sections) > maxDocuments:
		return nil, Problems{{File: file, Line: 1, Column: 1, Message: fmt.Sprintf("%d documents, more than %d", len(sections), maxDocuments)}}
	}
	var documents []Document
	var problems Problems
	for _, s := range sections {
		decoded, found := p.decodeSection(s)
		documents = append(documents, decoded...)
		for _, p := range found {
			p.File = file
			problems = append(problems, p)
		}
	}
	return documents, problems
}

// decodeSection reads one document: a container, or the containers of a group. The tree finds and places the problems; the value is
// what the strict decoder reads.
func (p *NodePolicy) decodeSection(s section) ([]Document, Problems) {
	root, err := parse(s.text)
	if err != nil {
		return nil, Problems{syntaxProblem(s, err)}
	}
	c := checker{offset: s.line}
	c.document(root)
	if len(c.problems) > 0 {
		return nil, c.sorted()
	}
	documents, problems := decodeTree(s, root)
	if refusals := p.refuse(s, root, documents); len(refusals) > 0 {
		return nil, refusals
	}
	return documents, problems
}

// decodeTree reads one document whose tree is right.
func decodeTree(s section, root *yamltree.Node) ([]Document, Problems) {
	if scalar(root, "kind") == KindGroup {
		return decodeGroup(s, root)
	}
	if scalar(root, "kind") == KindJob {
		return decodeJob(s, root)
	}
	d := Document{Line: s.line + root.Line}
	if err := yaml.UnmarshalStrict(s.text, &d.Container); err != nil {
		return nil, Problems{undecodable(s, d.Container.Metadata.Name, err)}
	}
	tidy(&d.Container)
	return []Document{d}, nil
}

// decodeJob reads the container of a job.
func decodeJob(s section, root *yamltree.Node) ([]Document, Problems) {
	var j Job
	if err := yaml.UnmarshalStrict(s.text, &j); err != nil {
		return nil, Problems{undecodable(s, j.Metadata.Name, err)}
	}
	c := j.Expand()
	tidy(&c)
	return []Document{{Container: c, Line: s.line + root.Line}}, nil
}

// decodeGroup reads the containers of a group, each at the line of its name.
func decodeGroup(s section, root *yamltree.Node) (documents []Document, _ Problems) {
	var g Group
	if err := yaml.UnmarshalStrict(s.text, &g); err != nil {
		return nil, Problems{undecodable(s, "", err)}
	}
	lines := map[string]int{}
	for key := range keys(at(root, "spec", "containers")) {
		lines[memberName(g.Metadata.Name, key.Value)] = s.line + key.Line
	}
	for _, c := range g.Expand() {
		tidy(&c)
		documents = append(documents, Document{Container: c, Line: lines[c.Metadata.Name]})
	}
	return documents, nil
}

// undecodable places an error of the strict decoder in a document whose tree is right: it heeds the tag ! that the tree leaves out.
func undecodable(s section, name string, err error) Problem {
	p := Problem{Name: name, Message: "cannot be decoded: " + quoteBare(err.Error())}
	if bytes.Contains(s.text, []byte("! ")) {
		p.Message, p.Hint = "the tag !", tagHint
	}
	p.Line, p.Column = place(s.text, "! ")
	p.Line += s.line
	return p
}

// parse reads the one document of a text into a tree.
func parse(text []byte) (*yamltree.Node, error) {
	d := yamltree.NewDecoder(bytes.NewReader(text))
	var document, rest yamltree.Node
	if err := d.Decode(&document); err != nil {
		return nil, err
	}
	switch err := d.Decode(&rest); {
	case err == nil:
		return nil, errors.New("text after the end of the document")
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	return document.Content[0], nil
}
