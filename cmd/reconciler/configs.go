package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// configManifest is a config and where it stands.
type configManifest struct {
	spec.Contents
	name, file string
	line       int
}

// addConfig keeps a config with what is beside its file. The first of each name counts, as with containers.
func (m *manifests) addConfig(d spec.Document, file string) {
	problems := d.Fill(func(path string) ([]byte, error) {
		if file == stdinName {
			return nil, errors.New("nothing is beside a manifest on stdin\nhint: name its file")
		}
		return source.ReadBeside(filepath.Dir(file), path)
	})
	for i := range problems {
		problems[i].File = file
	}
	m.problems = append(m.problems, problems...)
	if first := m.config(d.Name()); first != nil {
		m.problems = append(m.problems, spec.Problem{
			File: file, Line: d.Line, Column: 1, Path: "metadata.name", Kind: spec.KindConfig, Name: d.Name(),
			Message: fmt.Sprintf("config %q is taken by %s:%d", d.Name(), first.file, first.line), Hint: "names are unique on a node",
		})
		return
	}
	m.configs = append(m.configs, configManifest{d.Contents, d.Name(), file, d.Line})
}

// config is the config of a name, nil for none.
func (m *manifests) config(name string) *configManifest {
	i := slices.IndexFunc(m.configs, func(c configManifest) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return &m.configs[i]
}

// strangers are containers that use configs which none of these manifests has, one a line: another directory may have them.
func (m *manifests) strangers() (notes []string) {
	for _, d := range m.documents {
		for _, use := range d.Container.Spec.Configs {
			if m.config(use.Name) == nil {
				notes = append(notes, fmt.Sprintf("%s:%d: %s uses config %s, which is in none of these manifests", d.File, d.Line, d.name(), use.Name))
			}
		}
	}
	return notes
}

// changes are the keys of configs that a container would get other values of, with short hashes in place of these. Of a sensitive config nothing is
// known to compare with.
func (m *manifests) changes(o spec.Object, c spec.Container) (list []spec.Change) {
	for _, use := range c.Spec.Configs {
		config := m.config(use.Name)
		i := slices.IndexFunc(o.Status.Configs, func(s spec.ConfigStatus) bool { return s.Name == use.Name })
		if config == nil || i < 0 {
			continue
		}
		before, after := o.Status.Configs[i], use.Project(config.Contents)
		if before.Sensitive != after.Sensitive {
			list = append(list, spec.Change{Path: "configs." + use.Name + ".sensitive", Class: spec.ClassLive, Old: fmt.Sprint(before.Sensitive), New: fmt.Sprint(after.Sensitive)})
			continue
		}
		for _, key := range spec.ChangedKeys(before.Keys, after.Keys) {
			list = append(list, spec.Change{Path: "configs." + use.Name + "." + key, Class: spec.ClassLive, Old: before.Keys[key], New: after.Keys[key]})
		}
	}
	return list
}

// sensitive are the names of the configs that cannot be compared, in a line for people; "" for none.
func (m *manifests) sensitive() string {
	var names []string
	for _, c := range m.configs {
		if c.Sensitive {
			names = append(names, c.name)
		}
	}
	if names == nil {
		return ""
	}
	return "not compared, because nothing is told of what they hold: sensitive configs " + strings.Join(names, ", ")
}

// configWords are a container's configs for a table: each with its short hash, and whether the process has not seen the newest yet.
func configWords(o spec.Object) string {
	var words []string
	for _, c := range o.Status.Configs {
		word := c.Name
		if c.Hash != "" {
			word += "@" + c.Hash
		}
		words = append(words, strings.TrimSpace(word+" "+configNote(c)))
	}
	return strings.Join(words, ", ")
}

// configNote says what is not as it should be with a config of a container.
func configNote(c spec.ConfigStatus) string {
	switch {
	case !c.Found:
		return "(no manifest)"
	case !c.Seen:
		return "(not seen)"
	}
	return ""
}

func (a *app) describeConfigs(configs []spec.ConfigStatus) {
	if len(configs) == 0 {
		return
	}
	t := a.part("Configs:", "NAME", "HASH", "SEEN", "NOTE")
	for _, c := range configs {
		var notes []string
		if !c.Found {
			notes = append(notes, "no manifest")
		}
		if c.Sensitive {
			notes = append(notes, "sensitive")
		}
		t.add(cell{text: c.Name}, cell{text: orDash(c.Hash)}, cell{text: yesNo(c.Seen)}, cell{text: strings.Join(notes, ", ")})
	}
	t.draw(a.out)
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}
