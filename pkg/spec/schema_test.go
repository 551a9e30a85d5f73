package spec_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// schema is the part of JSON Schema that ours uses.
type schema struct {
	Type                 string
	Properties           map[string]*schema
	Required             []string
	AdditionalProperties json.RawMessage
	PropertyNames        *schema
	Items                *schema
	MinItems             int
	Enum                 []string
	Pattern              string
	Minimum, Maximum     *float64
	AnyOf                []*schema
	If, Then, Else       *schema
	Const                string
	Ref                  string             `json:"$ref"`
	Defs                 map[string]*schema `json:"$defs"`
}

// accepts tells why a value does not fit, nil if it does.
func (s *schema) accepts(path string, v any) error {
	if s.If != nil {
		object, _ := v.(map[string]any)
		if object["kind"] == s.If.Properties["kind"].Const {
			return s.Then.accepts(path, v)
		}
		return s.Else.accepts(path, v)
	}
	if len(s.AnyOf) > 0 {
		fits := func(alternative *schema) bool { return alternative.accepts(path, v) == nil }
		if !slices.ContainsFunc(s.AnyOf, fits) {
			return fmt.Errorf("%s: fits no alternative", path)
		}
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		return s.acceptsObject(path, v)
	case []any:
		return s.acceptsList(path, v)
	case string:
		return s.acceptsText(path, v)
	case float64:
		whole := v == float64(int64(v))
		if s.Type != "number" && (s.Type != "integer" || !whole) || s.Minimum != nil && v < *s.Minimum || s.Maximum != nil && v > *s.Maximum {
			return fmt.Errorf("%s: %v does not fit", path, v)
		}
	case bool:
		if s.Type != "boolean" {
			return fmt.Errorf("%s: %v is no %s", path, v, s.Type)
		}
	default:
		return fmt.Errorf("%s: %v", path, v)
	}
	return nil
}

func (s *schema) acceptsObject(path string, v map[string]any) error {
	if s.Type != "object" {
		return fmt.Errorf("%s: an object", path)
	}
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			return fmt.Errorf("%s: no %s", path, name)
		}
	}
	for name, value := range v {
		below, ok := s.Properties[name]
		if !ok {
			below = &schema{}
			if err := json.Unmarshal(s.AdditionalProperties, below); err != nil {
				return fmt.Errorf("%s: unknown %s", path, name)
			}
		}
		if s.PropertyNames != nil {
			if err := s.PropertyNames.accepts(path, name); err != nil {
				return err
			}
		}
		if err := below.accepts(path+"."+name, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *schema) acceptsList(path string, v []any) error {
	if s.Type != "array" || len(v) < s.MinItems {
		return fmt.Errorf("%s: a list of %d", path, len(v))
	}
	for _, item := range v {
		if err := s.Items.accepts(path, item); err != nil {
			return err
		}
	}
	return nil
}

func (s *schema) acceptsText(path, v string) error {
	if s.Type != "string" || s.Enum != nil && !slices.Contains(s.Enum, v) || !regexp.MustCompile(s.Pattern).MatchString(v) {
		return fmt.Errorf("%s: the text %q", path, v)
	}
	return nil
}

// check tells whether a YAML document fits the schema.
func (s *schema) check(text string) error {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	return s.accepts("", v)
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	var s schema
	if err := json.Unmarshal(spec.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	container, job := s.Defs["containerSpec"], s.Else.Then.Properties["spec"].Properties
	for _, of := range []*schema{s.Else.Else.Properties["spec"], job["template"], s.Then.Properties["spec"].Properties["containers"]} {
		if of.Ref == "" {
			of = new(schema)
			if err := json.Unmarshal(s.Then.Properties["spec"].Properties["containers"].AdditionalProperties, of); err != nil {
				t.Fatal(err)
			}
		}
		if of.Ref != "#/$defs/containerSpec" {
			t.Fatalf("a container's spec is %q", of.Ref)
		}
	}
	s.Else.Else.Properties["spec"], job["template"] = container, container
	var document struct {
		Defs map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(spec.Schema(), &document); err != nil {
		t.Fatal(err)
	}
	s.Then.Properties["spec"].Properties["containers"].AdditionalProperties = document.Defs["containerSpec"]
	return &s
}

// The schema takes what Decode takes.
func TestSchemaAccepts(t *testing.T) {
	s := readSchema(t)
	if err := s.check(readFile(t, "group.yaml")); err != nil {
		t.Errorf("group.yaml: %v", err)
	}
	if s.check(strings.ReplaceAll(readFile(t, "group.yaml"), "memory:", "memry:")) == nil {
		t.Error("a broken container of a group fits")
	}
	if err := s.check(readFile(t, "job.yaml")); err != nil {
		t.Errorf("job.yaml: %v", err)
	}
	if s.check(strings.ReplaceAll(readFile(t, "job.yaml"), "rootfs:", "rotfs:")) == nil {
		t.Error("a broken template of a job fits")
	}
	for _, name := range []string{"typical.yaml", "full.yaml", "attributes.yaml"} {
		text := readFile(t, name)
		if err := s.check(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c := spec.Defaulted(decodeOne(t, text), spec.DefaultsVersion)
		if err := s.check(string(spec.Canonical(c))); err != nil {
			t.Errorf("%s with defaults: %v", name, err)
		}
	}
}

// The schema refuses most of what Decode refuses in a field: an editor shows it before the agent does. What it cannot see is how a text was
// spelled, what fields say together and what needs arithmetic.
func TestSchemaRefuses(t *testing.T) {
	s := readSchema(t)
	_, sections := readSections(t, "testdata/broken/fields.txtar")
	var taken []string
	cases := 0
	for _, section := range sections {
		if name, ok := strings.CutSuffix(section.name, ".field"); ok {
			cases++
			if s.check(string(manifest(t, filepath.Ext(section.name), section.text))) == nil {
				taken = append(taken, name)
			}
		}
	}
	if len(taken) > cases/3 {
		t.Errorf("%d of %d broken fields fit the schema: %v", len(taken), cases, taken)
	}
	t.Logf("%d of %d broken fields fit the schema: %v", len(taken), cases, taken)
}
