package spec

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

var someSettings = NewSettings([]Setting{
	{Name: "manifests", Type: SettingPath, Many: true},
	{Name: "policy", Type: SettingNoPath},
	{Name: "prune", Values: []string{"guarded", "always"}, Default: "guarded", Doc: "when"},
	{Name: "owner", Type: SettingNumber},
	{Name: "audit", Type: SettingSwitch, Default: "true"},
	{Name: "every", Type: SettingDuration},
	{Name: "grant", Many: true, Check: func(s string) error {
		if s == "bad" {
			return errors.New("no such grant\nhint: good")
		}
		return nil
	}},
})

const settingsHead = "apiVersion: reconciler/v1alpha1\nkind: AgentConfig\nspec:\n"

func TestSettings(t *testing.T) {
	text := "# one\n---\n" + settingsHead + "  manifests: [/a,\n    /b]\n  policy: \"\"\n  owner: 7\n  audit: false\n  every: 90s\n  grant:\n    - good\n"
	got, problems := someSettings.Decode("c.yaml", []byte(text))
	want := []Said{
		{"manifests", 6, 14, []string{"/a", "/b"}},
		{"policy", 8, 11, []string{""}},
		{"owner", 9, 10, []string{"7"}},
		{"audit", 10, 10, []string{"false"}},
		{"every", 11, 10, []string{"90s"}},
		{"grant", 12, 3, []string{"good"}},
	}
	if problems != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %v\nwant %v", problems, got, want)
	}
	for _, nothing := range []string{"", "# a\n", settingsHead, settingsHead + "  # audit: true\n", strings.TrimSuffix(settingsHead, "spec:\n")} {
		if said, problems := someSettings.Decode("c", []byte(nothing)); said != nil || problems != nil {
			t.Errorf("%q: %v, %v", nothing, said, problems)
		}
	}
}

func TestSettingsProblems(t *testing.T) {
	for body, want := range map[string]string{
		"  prune: alway":                 "c:4:10: spec.prune: \"alway\" is not one of guarded, always\nhint: did you mean always?",
		"  args: x":                      "c:4:3: spec.args: unknown field\nhint: the keys are manifests, policy, prune, owner, audit, every, grant",
		"  memory: 1Gi":                  "c:4:3: spec.memory: unknown field\nhint: the keys are manifests, policy, prune, owner, audit, every, grant",
		"  Manifests: [/a]":              "c:4:3: spec.Manifests: unknown field\nhint: did you mean manifests?",
		"manifests: [/a]":                "c:4:1: manifests: unknown field\nhint: did you mean spec.manifests?",
		"  manifests: [/a/../b]":         `c:4:15: spec.manifests[0]: "/a/../b" has .. in it`,
		"  grant: [good, bad]":           "c:4:17: spec.grant[1]: no such grant\nhint: good",
		"  grant: [bad]\n  owner: x":     "c:4:11: spec.grant[0]: no such grant\nhint: good\nc:5:10: spec.owner: ",
		"  owner: x\n  grant: [1, bad]":  "c:4:10: spec.owner: wants a whole number, not \"x\"\nc:5:11: spec.grant[0]: 1 without quotes is read as",
		"  owner: -1":                    "c:4:10: spec.owner: -1 is less than 0",
		"  every: 5":                     "c:4:10: spec.every: \"5\" has no unit",
		"  audit: \"true\"":              "c:4:10: spec.audit: wants true or false",
		"  audit:":                       "c:4:9: spec.audit: has no value",
		"  audit: &a true":               "c:4:10: spec.audit: the anchor &a",
		"  audit: !!bool true":           "c:4:10: spec.audit: the tag ",
		"  audit: true\n  audit: true":   "c:5:3: spec.audit: is said twice",
		"  <<: {audit: true}":            "c:4:3: ",
		"  audit: {":                     "c:4:",
		"  audit: true\n---\nkind: x\n":  "c:1:1: 2 documents, want one AgentConfig",
		"  policy: \"\\u0007\"":          "c:4:11: spec.policy: ",
		"  every: \"" + "9\x01" + "\"\n": "c:4:",
	} {
		_, problems := someSettings.Decode("c", []byte(settingsHead+body+"\n"))
		if got := problems.Error(); !strings.HasPrefix(got, want) || len(problems) == 0 {
			t.Errorf("%s\ngot  %s\nwant %s", body, got, want)
		}
	}
	for text, want := range map[string]string{
		"kind: AgentConfig\n": "c:1:1: apiVersion: is missing",
		strings.Replace(settingsHead, "AgentConfig", "Container", 1): "c:2:7: kind: unknown kind \"Container\"\nhint: it is AgentConfig",
		strings.Replace(settingsHead, "v1alpha1", "v2", 1):           "c:1:13: apiVersion: ",
		"[]\n": "c:1:1: wants an object, not a list",
		"x\n":  "c:1:1: wants an object",
	} {
		if _, problems := someSettings.Decode("c", []byte(text)); !strings.HasPrefix(problems.Error(), want) {
			t.Errorf("%q: got %v", text, problems)
		}
	}
}

// A file with ever so many problems has a bounded number of them, and is refused.
func TestSettingsManyProblems(t *testing.T) {
	said, problems := someSettings.Decode("c", []byte(settingsHead+strings.Repeat("  x: 1\n", 5000)+"  grant: [bad]\n"))
	if said != nil || len(problems) > maxProblems+1 {
		t.Errorf("%d said, %d problems", len(said), len(problems))
	}
}

func TestSettingsSchema(t *testing.T) {
	var schema struct {
		Required   []string
		Properties map[string]struct {
			Type       any
			Properties map[string]struct {
				Type        string
				Enum        []string
				Default     any
				Description string
				Items       struct{ Pattern string }
			}
		}
	}
	if err := json.Unmarshal(someSettings.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	keys := schema.Properties["spec"].Properties
	prune := keys["prune"]
	if !reflect.DeepEqual(schema.Required, []string{"apiVersion", "kind"}) || len(keys) != 7 || keys["manifests"].Items.Pattern != "^/" || keys["audit"].Default != true ||
		prune.Default != "guarded" || prune.Description != "when" || len(prune.Enum) != 2 {
		t.Errorf("got %+v", schema)
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(settingsHead + "  manifests: [/a]\n  every: 5s\n"))
	f.Add([]byte("kind: AgentConfig\nspec: {grant: [bad, *a], audit: ! 5}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		said, problems := someSettings.Decode("c", data)
		if said != nil && problems != nil {
			t.Errorf("%q: %v and %v", data, said, problems)
		}
		for _, s := range said {
			if one := len(s.Values) == 1; !one && s.Name != "manifests" && s.Name != "grant" {
				t.Errorf("%q: %v", data, s)
			}
		}
	})
}
