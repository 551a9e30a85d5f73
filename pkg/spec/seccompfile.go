package spec

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"sync"
	"unicode/utf8"

	yamltree "go.yaml.in/yaml/v3"
)

// SeccompFile is a profile as it is kept in a file: the words of SeccompProfile and those that Docker and podman add,
// which make one file fit several architectures, kernels and lists of capabilities.
type SeccompFile struct {
	DefaultAction    SeccompAction     `json:"defaultAction,omitzero"`
	DefaultErrnoRet  ErrnoRet          `json:"defaultErrnoRet,omitzero" min:"0" max:"65535"`
	DefaultErrno     string            `json:"defaultErrno,omitzero" format:"errno"` // by name; it goes before DefaultErrnoRet
	Architectures    []SeccompArch     `json:"architectures,omitzero"`
	ArchMap          []SeccompArchMap  `json:"archMap,omitzero"`
	Flags            []SeccompFlag     `json:"flags,omitzero"`
	ListenerPath     string            `json:"listenerPath,omitzero" format:"path"`
	ListenerMetadata string            `json:"listenerMetadata,omitzero" format:"note"`
	Syscalls         []SeccompFileRule `json:"syscalls,omitzero"`
}

// SeccompArchMap are the architectures for a node of one architecture.
type SeccompArchMap struct {
	Architecture     SeccompArch   `json:"architecture"`
	SubArchitectures []SeccompArch `json:"subArchitectures,omitzero"`
}

// SeccompFileRule is a rule with the places where it is one.
type SeccompFileRule struct {
	Name     string        `json:"name,omitzero" format:"syscall"` // the older way of one name
	Names    []string      `json:"names,omitzero" format:"syscall"`
	Action   SeccompAction `json:"action"`
	ErrnoRet ErrnoRet      `json:"errnoRet,omitzero" min:"0" max:"65535"`
	Errno    string        `json:"errno,omitzero" format:"errno"` // by name; it goes before ErrnoRet
	Args     []SeccompArg  `json:"args,omitzero"`
	Comment  string        `json:"comment,omitzero" format:"note"`
	Includes SeccompWhere  `json:"includes,omitzero"` // a rule only where all of it is true
	Excludes SeccompWhere  `json:"excludes,omitzero"` // no rule where any of it is true
}

// SeccompWhere says where a rule is one.
type SeccompWhere struct {
	Arches    []string `json:"arches,omitzero" format:"seccompPlace"`
	Caps      []string `json:"caps,omitzero" format:"seccompPlace"` // of the bounding set: CAP_SYS_ADMIN
	MinKernel string   `json:"minKernel,omitzero" format:"release"`
}

// seccompFileTree is a file as a whole, like fieldTree.
var seccompFileTree = sync.OnceValue(func() *Field {
	root := &Field{Type: kindNames[kindObject][0]}
	root.Fields = fieldsOf("", reflect.TypeFor[SeccompFile](), reflect.Value{})
	return root
})

// DecodeSeccomp reads a file with a seccomp profile and reports its problems, in file order, under the given file name. It is
// JSON; unknown, doubled and wrongly typed fields are problems, null is the same as not said.
func DecodeSeccomp(file string, data []byte) (f SeccompFile, problems Problems) {
	defer func() {
		for i := range problems {
			problems[i].File = file
		}
	}()
	if problem, ok := checkText(data); !ok {
		return f, Problems{problem}
	}
	if problem, ok := checkJSON(data); !ok {
		return f, Problems{problem}
	}
	root, err := parse(data)
	if err != nil {
		return f, Problems{syntaxProblem(section{text: data}, err)}
	}
	pruneNulls(root)
	var c checker
	if root.Kind != yamltree.MappingNode {
		c.add(root, "", faultf("wants an object with defaultAction and syscalls, not %s", what(root)))
		return f, c.problems
	}
	c.object("", seccompFileTree(), root)
	c.agreeProfile("", root)
	c.agreeSeccompFile(root)
	if len(c.problems) > 0 {
		return f, c.sorted()
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return SeccompFile{}, Problems{{Line: 1, Column: 1, Message: "cannot be decoded: " + quoteBare(err.Error())}}
	}
	return f, nil
}

// checkJSON finds where a text stops being JSON: the tree's parser takes more.
func checkJSON(data []byte) (Problem, bool) {
	if json.Valid(data) {
		return Problem{}, true
	}
	p := Problem{Line: 1, Column: 1, Message: "not JSON"}
	var raw json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(data, &raw)); ok {
		end := max(0, min(int(syntax.Offset)-1, len(data)))
		for end > 0 && end < len(data) && !utf8.RuneStart(data[end]) {
			end--
		}
		p.Line, p.Column = placeAfter(data[:end])
		p.Message += ": " + quoteBare(syntax.Error())
	}
	return p, false
}

// pruneNulls takes the keys without a value out of a tree.
func pruneNulls(n *yamltree.Node) {
	if n.Kind == yamltree.MappingNode {
		kept := n.Content[:0]
		for pair := range slices.Chunk(n.Content, 2) {
			if !isNull(pair[1]) {
				kept = append(kept, pair...)
			}
		}
		n.Content = kept
	}
	for _, below := range n.Content {
		pruneNulls(below)
	}
}
