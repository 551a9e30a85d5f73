package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// Each flag of run but those of one call has one key, each key one flag, and each key a form that fits the flag: what it shows of its default is read as that.
func TestEveryFlagHasAKey(t *testing.T) {
	keys := map[string]string{}
	flags := newRun(&app{}).Flags()
	flags.VisitAll(func(f *pflag.Flag) {
		if slices.Contains(callFlags, f.Name) {
			return
		}
		key := settingKey(f.Name)
		if other := keys[key]; other != "" {
			t.Errorf("--%s and --%s have the key %s", other, f.Name, key)
		}
		keys[key] = f.Name
		if f.Usage == "" {
			t.Errorf("--%s has no help, so its key has none", f.Name)
		}
	})
	fields := configKeys().Fields()
	for _, f := range fields {
		name := strings.TrimPrefix(f.Path, "spec.")
		if keys[name] == "" {
			t.Errorf("the key %s has no flag", name)
		}
		delete(keys, name)
	}
	if len(keys) > 0 {
		t.Errorf("flags without a key: %v", keys)
	}
	for _, key := range appliedKeys {
		if newSettings().flag(key) == nil {
			t.Errorf("no key %s that counts at once", key)
		}
	}
	for _, name := range callFlags {
		if name != "help" && flags.Lookup(name) == nil {
			t.Errorf("no flag --%s that has no key", name)
		}
	}
}

// What is shown of a configuration is one, with the same values.
func TestShownConfigurationIsOne(t *testing.T) {
	many := newSettings()
	for _, line := range [][]string{
		nil,
		{"--manifests", "/a, b", "--manifests", "/yes", "--manifest-owner", "4294967294", "--grant", "read=uid:7", "--drift-interval", "0", "--log-dir", "/a b: #c", "-v", "--audit=false"},
	} {
		must(t, many.flags.Parse(line))
		c := many.shown()
		data, err := json.Marshal(c) // as the API gives it
		must(t, err)
		must(t, json.Unmarshal(data, &c))
		text, err := configText(c)
		must(t, err)
		again := newSettings()
		must(t, again.read([]string{"c"}, func(string) ([]byte, error) { return text, nil }))
		if want, got := many.shown().Spec, again.shown().Spec; !reflect.DeepEqual(want, got) {
			t.Errorf("%s\ngot  %v\nwant %v", text, got, want)
		}
	}
}

// The packaged file says nothing; with its comments taken away it says the defaults.
func TestPackagedConfiguration(t *testing.T) {
	data, err := os.ReadFile("../../packaging/config.yaml")
	must(t, err)
	for _, text := range []string{string(data), strings.ReplaceAll(string(data), "\n  #", "\n  ")} {
		s := newSettings()
		text = strings.ReplaceAll(text, "\n   ", "\n  # ")
		must(t, s.read([]string{"config.yaml"}, func(string) ([]byte, error) { return []byte(text), nil }))
		if want, got := newSettings().shown().Spec, s.shown().Spec; !reflect.DeepEqual(want, got) {
			t.Errorf("%s\ngot  %v\nwant %v", text, got, want)
		}
		if said := len(s.sources); said != 0 && said != len(s.shown().Spec) {
			t.Errorf("%d keys are said", said)
		}
	}
}

// A flag counts more than a drop-in, the last drop-in more than others, any more than the file, and that more than the default.
func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	write := func(name, body string) {
		t.Helper()
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte("apiVersion: reconciler/v1alpha1\nkind: AgentConfig\n"+body), 0o644))
	}
	file := filepath.Join(dir, "c.yaml")
	write("c.yaml", "spec: {manifests: [/a, /b], prune: never, watch: never, manifestOwner: 1, driftInterval: 2h}\n")
	write("c.yaml.d/10.yaml", "spec: {manifests: [/c], prune: always, manifestOwner: 2}\n")
	write("c.yaml.d/20.yaml", "spec:\n  prune: guarded\n  manifestOwner: 3\n")
	write("c.yaml.d/30.yaml.bak", "spec: {verbose: true}\n")
	write("c.yaml.d/.40.yaml", "spec: {verbose: true}\n")
	line := newRun(&app{}).Flags()
	must(t, line.Parse([]string{"--config", file, "--drift-interval", "1s", "--once"}))
	s, err := loadSettings(line)
	must(t, err)
	c := s.shown()
	for key, want := range map[string]struct {
		value any
		from  string
	}{
		"manifests":     {[]string{"/c"}, file + ".d/10.yaml:3"},
		"prune":         {"guarded", file + ".d/20.yaml:4"},
		"watch":         {"never", file + ":3"},
		"manifestOwner": {uint64(3), file + ".d/20.yaml:5"},
		"driftInterval": {"1s", "--drift-interval"},
		"verbose":       {false, "default"},
	} {
		if !reflect.DeepEqual(c.Spec[key], want.value) || c.Sources[key] != want.from {
			t.Errorf("%s is %v from %s, want %v from %s", key, c.Spec[key], c.Sources[key], want.value, want.from)
		}
	}
	if !s.once || s.prune.word != "guarded" || s.manifestOwner != 3 || s.drift.String() != "1s" {
		t.Errorf("%+v", s.agentFlags)
	}
	if want := []string{file, file + ".d/10.yaml", file + ".d/20.yaml"}; !slices.Equal(c.Files, want) {
		t.Errorf("read %v", c.Files)
	}

	// A problem is one though a flag or a later file says otherwise.
	write("c.yaml.d/20.yaml", "spec: {driftInterval: soon, prune: sometimes}\n")
	write("c.yaml.d/30.yaml", "spec: {prune: always, grant: [all=me]}\n")
	_, err = loadSettings(line)
	if got := err.Error(); strings.Count(got, "20.yaml:3:") != 2 || strings.Count(got, "30.yaml:3:31: spec.grant[0]: ") != 1 {
		t.Errorf("got %v", err)
	}

	// It is not taken from whoever may write to it.
	must(t, os.RemoveAll(file+".d"))
	must(t, os.Chmod(file, 0o664))
	if _, err := loadSettings(line); err == nil || !strings.Contains(err.Error(), "it can be written by others") {
		t.Errorf("got %v", err)
	}
	must(t, os.Remove(file))
	if _, err := loadSettings(line); err == nil || err.Error() != "cannot read "+file+": no such file or directory" {
		t.Errorf("got %v", err)
	}
	must(t, line.Parse([]string{"--config", "/dev/null"}))
	if s, err := loadSettings(line); err != nil || len(s.files) != 0 {
		t.Errorf("%v, %v", s, err)
	}
}

// Settings have the forms that the decoder knows, and no others: what a flag would take is all that a file may say.
func TestValuesOfFlags(t *testing.T) {
	for text, want := range map[string]string{
		"bridgeSubnet: 10.0.0.0":     "c:3:17: spec.bridgeSubnet: ",
		"runDir: run":                `c:3:11: spec.runDir: "run" is not an absolute path`,
		`runDir: ""`:                 "c:3:11: spec.runDir: ",
		"verbose: 1":                 "c:3:12: spec.verbose: wants true or false",
		"manifestOwner: -1":          "c:3:18: spec.manifestOwner: ",
		"manifestOwner: 4294967296":  "c:3:18: spec.manifestOwner: ",
		"manifests: /a":              "c:3:14: spec.manifests: wants a list of texts",
		"manifests: [a]":             "c:3:15: spec.manifests[0]: ",
		"once: true":                 "c:3:3: spec.once: unknown field",
		"config: /x":                 "c:3:3: spec.config: unknown field",
		"run-dir: /x":                "c:3:3: spec.run-dir: unknown field\nhint: did you mean runDir?",
		`policy: ""`:                 "",
		"policy: /p":                 "",
		"driftInterval: 0s":          "",
		"manifests: []":              "",
		"{prune: always, watch: no}": "c:3:30: spec.watch: ",
	} {
		if !strings.HasPrefix(text, "{") {
			text = "\n  " + text
		}
		head := "apiVersion: reconciler/v1alpha1\nkind: AgentConfig\nspec: "
		if strings.HasPrefix(text, "\n") { // so that what is looked at is in line 3 either way
			head = "apiVersion: reconciler/v1alpha1\nkind: AgentConfig\nspec:"
			want = strings.Replace(want, "c:3:", "c:4:", 1)
		}
		err := newSettings().read([]string{"c"}, func(string) ([]byte, error) { return []byte(head + text + "\n"), nil })
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// The types of values that a configuration cannot hold are found here, and not by somebody's file: a new flag is one of those that are known.
func TestTypesOfFlags(t *testing.T) {
	known := []string{"bool", "int", "uint32", "duration", "string", "stringArray", (&format{}).Type(), newSettings().flag("bridgeSubnet").Value.Type()}
	newSettings().each(func(key string, f *pflag.Flag) {
		if !slices.Contains(known, f.Value.Type()) {
			t.Errorf("%s is of type %s: settingType and valueOf have to know it", key, f.Value.Type())
		}
	})
}
