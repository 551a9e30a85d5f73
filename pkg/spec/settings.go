package spec

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	yamltree "go.yaml.in/yaml/v3"
)

// KindAgentConfig is the kind of how an agent is run.
const KindAgentConfig = "AgentConfig"

// Setting is one key of an agent's configuration. Which there are is the matter of who runs an agent: its flags.
type Setting struct {
	Name string
	Type SettingType
	Many bool // a list of such values
	// Values are the only words of a SettingText, if they are few.
	Values       []string
	Default, Doc string
	// Check says what is wrong with a value that has its form; nil: nothing can be.
	Check func(text string) error
}

// SettingType is the form of a value.
type SettingType int

// The forms. A path is absolute: nobody knows where an agent is started.
const (
	SettingText SettingType = iota
	SettingPath
	SettingNoPath // a path, or "" for none
	SettingSwitch
	SettingNumber   // whole, from 0
	SettingDuration // 0 or longer
)

// settingForms are the kind and the format of each form.
var settingForms = [...]struct {
	kind   kind
	format string
}{{kindText, "setting"}, {kindText, "path"}, {kindText, "noPath"}, {kindSwitch, ""}, {kindNumber, ""}, {kindDuration, ""}}

// Settings are the keys of an agent's configuration.
type Settings struct {
	tree   *Field
	checks map[string]func(string) error
}

// Said is one setting as a file says it.
type Said struct {
	Name string
	// Line is that of the key, Column, in characters, that of the value if it begins there, else the key's. Both from 1.
	Line, Column int
	// Values are those of a list, otherwise one, as text.
	Values []string
}

// NewSettings are the settings with these keys.
func NewSettings(list []Setting) Settings {
	checks := map[string]func(string) error{}
	root := treeOf(KindAgentConfig, reflect.TypeFor[agentConfig](), reflect.Value{})
	keys := root.find("spec")
	root.apart, keys.apart, keys.Fields = true, true, make([]Field, len(list))
	for i, doc := range []string{"The version of the words.", "The kind.", "A name, for people.", "What the agent is run with."} {
		root.Fields[i].Doc = doc
	}
	for i, s := range list {
		form := settingForms[s.Type]
		f := &keys.Fields[i]
		f.name, f.Path, f.Values, f.Default, f.Doc = s.Name, joinField("spec", s.Name), s.Values, s.Default, s.Doc
		if f.kind, f.format = form.kind, form.format; f.kind == kindNumber {
			f.Min = "0"
		}
		if s.Many {
			f.shape = shapeList
		}
		f.Type = f.typeName()
		checks[s.Name] = s.Check
	}
	return Settings{root, checks}
}

// agentConfig is one document that says how an agent is run.
type agentConfig struct {
	APIVersion string   `json:"apiVersion" format:"apiVersion"`
	Kind       string   `json:"kind" format:"configKind"`
	Metadata   Metadata `json:"metadata,omitzero"`
	Spec       struct{} `json:"spec,omitzero"`
}

// Fields are the keys below spec, for people.
func (s Settings) Fields() []Field { return s.tree.find("spec").Fields }

// Decode reads a file and reports every problem in it, in file order, as strictly as Decode does. A file without a document, and a spec without a
// key, say nothing: every line of them may be a comment.
func (s Settings) Decode(file string, data []byte) ([]Said, Problems) {
	said, problems := s.decode(data)
	for i := range problems {
		problems[i].File = file
	}
	return said, problems
}

func (s Settings) decode(data []byte) (all []Said, _ Problems) {
	if problem, ok := checkText(data); !ok {
		return nil, Problems{problem}
	}
	sections := split(data)
	switch len(sections) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, Problems{{Line: 1, Column: 1, Message: fmt.Sprintf("%d documents, want one %s", len(sections), KindAgentConfig)}}
	}
	root, problems := checkOne(sections[0], s.tree)
	if object := at(root, "spec"); object != nil && object.Kind == yamltree.MappingNode && len(problems) < maxProblems {
		c := checker{offset: sections[0].line, problems: problems}
		for i := 0; i+1 < len(object.Content); i += 2 {
			all = append(all, c.setting(object.Content[i], object.Content[i+1], s.checks))
		}
		problems = c.problems
		problems.sort()
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return all, nil
}

// setting checks the values of a key that has no problem yet, beyond their form.
func (c *checker) setting(key, value *yamltree.Node, checks map[string]func(string) error) Said {
	path := joinKey("spec", key.Value)
	said := Said{Name: key.Value, Line: c.offset + key.Line, Column: key.Column}
	if value.Line == key.Line {
		said.Column = value.Column
	}
	for _, p := range c.problems {
		if p.Path == path || strings.HasPrefix(p.Path, path+"[") {
			return said
		}
	}
	for i, n := range valuesIn(value) {
		said.Values = append(said.Values, n.Value)
		if check := checks[key.Value]; check != nil {
			if err := check(n.Value); err != nil {
				at := path
				if value.Kind == yamltree.SequenceNode {
					at += "[" + strconv.Itoa(i) + "]"
				}
				message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
				c.add(n, at, fault{message, hint})
			}
		}
	}
	return said
}

// valuesIn are the values of a list, or the one that is none.
func valuesIn(n *yamltree.Node) []*yamltree.Node {
	if n.Kind == yamltree.SequenceNode {
		return n.Content
	}
	return []*yamltree.Node{n}
}

// dropEmpty takes spec without a value out of the document of an agent, so that all that is below it may be comments.
func dropEmpty(root *yamltree.Node, tree *Field) {
	for i := 0; tree.apart && i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "spec" && isNull(root.Content[i+1]) {
			root.Content = slices.Delete(root.Content, i, i+2)
			return
		}
	}
}

// Schema is the JSON Schema (2020-12) of a file, for editors.
func (s Settings) Schema() []byte {
	root := s.tree.objectSchema()
	root["$schema"], root["title"] = schemaVersion, KindAgentConfig+" of "+APIVersion
	root["properties"].(node)["spec"].(node)["type"] = []string{"object", "null"}
	data, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("spec: a schema is always JSON: " + err.Error())
	}
	return append(data, '\n')
}
