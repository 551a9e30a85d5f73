package spec

import (
	"encoding/json"
	"fmt"
	"slices"
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

// settingFields are the forms as fields of a manifest have them.
var settingFields = map[SettingType]Field{
	SettingText:     {kind: kindText, format: "setting"},
	SettingPath:     {kind: kindText, format: "path"},
	SettingNoPath:   {kind: kindText, format: "noPath"},
	SettingSwitch:   {kind: kindSwitch},
	SettingNumber:   {kind: kindNumber, Min: "0"},
	SettingDuration: {kind: kindDuration},
}

// Settings are the keys of an agent's configuration.
type Settings struct {
	tree   *Field
	checks map[string]func(string) error
}

// Said is one setting as a file says it.
type Said struct {
	Name string
	Line int
	// Values are those of a list, otherwise one, as text.
	Values []string
}

// NewSettings are the settings with these keys.
func NewSettings(list []Setting) Settings {
	keys := Field{Path: "spec", name: "spec", Doc: "Spec is what an agent is run with, by key.", apart: true}
	keys.Type = keys.typeName()
	checks := map[string]func(string) error{}
	for _, s := range list {
		checks[s.Name] = s.Check
		f := settingFields[s.Type]
		f.name, f.Path, f.Values, f.Default, f.Doc = s.Name, joinField("spec", s.Name), s.Values, s.Default, s.Doc
		if s.Many {
			f.shape = shapeList
		}
		f.Type = f.typeName()
		keys.Fields = append(keys.Fields, f)
	}
	text := func(name, format, doc string, required bool) Field {
		return Field{Path: name, name: name, kind: kindText, format: format, Type: "text", Doc: doc, Required: required}
	}
	metadata := *fieldTree().find("metadata")
	metadata.Required, metadata.Doc = false, "Metadata names the configuration, for people."
	return Settings{checks: checks, tree: &Field{
		Type: keys.Type, Doc: KindAgentConfig + " says how an agent is run.", apart: true, Fields: []Field{
			text("apiVersion", "apiVersion", "APIVersion is the version of the words: "+APIVersion+".", true),
			text("kind", "configKind", "Kind is "+KindAgentConfig+".", true),
			metadata, keys,
		},
	}}
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
	for key, value := range keys(at(root, "spec")) {
		path := joinKey("spec", key.Value)
		if len(problems) >= maxProblems || slices.ContainsFunc(problems, func(p Problem) bool { return p.Path == path || strings.HasPrefix(p.Path, path+"[") }) {
			continue
		}
		said := Said{Name: key.Value, Line: sections[0].line + key.Line}
		for i, n := range valuesIn(value) {
			said.Values = append(said.Values, n.Value)
			check := s.checks[key.Value]
			if check == nil {
				continue
			}
			if err := check(n.Value); err != nil {
				at := path
				if value.Kind == yamltree.SequenceNode {
					at = fmt.Sprintf("%s[%d]", path, i)
				}
				message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
				problems = append(problems, Problem{Line: sections[0].line + n.Line, Column: n.Column, Path: at, Message: message, Hint: hint})
			}
		}
		all = append(all, said)
	}
	if len(problems) > 0 {
		problems.sort()
		return nil, problems
	}
	return all, nil
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
