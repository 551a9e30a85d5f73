package spec

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	yamltree "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// spot is a place in a file.
type spot struct{ line, column int }

// decodeConfig reads a config whose tree is right. Its files that are beside the manifest are read by Fill.
func decodeConfig(s section, root *yamltree.Node) ([]Document, Problems) {
	var c Config
	if err := yaml.UnmarshalStrict(s.text, &c); err != nil {
		p := undecodable(s, c.Metadata.Name, err)
		p.Kind = KindConfig
		return nil, Problems{p}
	}
	d := Document{Config: &c, Line: s.line + root.Line, spots: map[string]spot{}}
	for key, value := range keys(at(root, "spec", "files")) {
		n := cmp.Or(at(value, "fromFile"), value)
		d.spots[key.Value] = spot{s.line + n.Line, n.Column}
	}
	contents, problems := c.Contents(nil)
	if d.Contents = contents; len(problems) > 0 {
		return nil, d.placed(problems)
	}
	return []Document{d}, nil
}

// Contents are what a config holds; read reads the files beside the manifest, which are left out without it. Problems have the Path of their
// keys and no place.
func (c *Config) Contents(read func(path string) ([]byte, error)) (contents Contents, problems Problems) {
	contents = Contents{Sensitive: c.Spec.Sensitive, Env: c.Spec.Env, Files: map[string][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(c.Spec.Files)) {
		f := c.Spec.Files[name]
		data, err := []byte(f.Text), error(nil)
		switch {
		case f.FromFile != "" && read == nil:
			continue
		case f.FromFile != "":
			data, err = read(path.Clean(f.FromFile))
		case f.Base64 != "":
			data, err = decodeBase64(f.Base64)
		}
		if err != nil {
			problems = append(problems, c.unreadable(name, err))
			continue
		}
		contents.Files[name] = data
	}
	if n := contents.size(); n > MaxConfig && len(problems) == 0 {
		problems = append(problems, c.problem("spec", fmt.Sprintf("holds %d bytes, more than %d", n, MaxConfig), "mount a directory with spec.mounts in place of it"))
	}
	return contents, problems
}

// unreadable is the problem of a file of a config. An error that is a Problem says its reason.
func (c *Config) unreadable(name string, err error) Problem {
	message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
	p := c.problem("spec.files."+name, fmt.Sprintf("%s cannot be read: %s", quoteBare(c.Spec.Files[name].FromFile), message), hint)
	if said, ok := errors.AsType[Problem](err); ok {
		p.Reason = said.Reason
	}
	return p
}

func (c *Config) problem(path, message, hint string) Problem {
	return Problem{Kind: KindConfig, Name: c.Metadata.Name, Path: path, Message: message, Hint: hint}
}

// Beside are the files beside the manifest that a document's config names, sorted; none of a container.
func (d *Document) Beside() (paths []string) {
	if d.Config == nil {
		return nil
	}
	for _, f := range d.Config.Spec.Files {
		if f.FromFile != "" {
			paths = append(paths, path.Clean(f.FromFile))
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// Fill reads the files beside the manifest by read, which gets the paths of Beside, and says at their places why one cannot be read.
func (d *Document) Fill(read func(path string) ([]byte, error)) Problems {
	if d.Config == nil {
		return nil
	}
	contents, problems := d.Config.Contents(read)
	d.Contents = contents
	return d.placed(problems)
}

// placed gives problems the places of the files they are about, else that of the document.
func (d *Document) placed(problems Problems) Problems {
	for i := range problems {
		p := &problems[i]
		s, ok := d.spots[strings.TrimPrefix(p.Path, "spec.files.")]
		if !ok {
			s = spot{d.Line, 1}
		}
		p.Line, p.Column = s.line, s.column
	}
	problems.sort()
	return problems
}

// Name is the name of what a document is about, Kind its kind.
func (d *Document) Name() string {
	if d.Config != nil {
		return d.Config.Metadata.Name
	}
	return d.Container.Metadata.Name
}

// agreeConfig checks that each file says what it holds once, and hides what a sensitive config holds.
func (c *checker) agreeConfig(root *yamltree.Node) {
	for key, value := range keys(at(root, "spec", "files")) {
		said := 0
		for range keys(value) {
			said++
		}
		if said != 1 && value.Kind == yamltree.MappingNode {
			c.add(value, "spec.files."+key.Value, fault{"wants one of text, base64 and fromFile", ""})
		}
	}
	if isSensitive(root) {
		for i := range c.problems {
			hideValue(&c.problems[i])
		}
	}
}

// isSensitive tells whether a config is, or was meant to be.
func isSensitive(root *yamltree.Node) bool {
	n := at(root, "spec", "sensitive")
	return n != nil && n.Value != "false"
}

// hideValue takes out of a problem what may be the value of a sensitive config. Keys and places say enough.
func hideValue(p *Problem) {
	below := strings.HasPrefix(p.Path, "spec.env") || strings.HasPrefix(p.Path, "spec.files.")
	if known := p.Message == "unknown field" || strings.HasPrefix(p.Message, "wants one of") || strings.HasPrefix(p.Message, "is said twice"); !below || known {
		return
	}
	p.Message, p.Hint = "is no value that it can have; it is not shown, because spec.sensitive is said", "quote it, if it is a number or a word such as true"
}

// hideAll is hideValue for what cannot be read as a tree, if it may be a sensitive config.
func hideAll(s section, p Problem) Problem {
	if bytes.Contains(s.text, []byte("sensitive")) && bytes.Contains(s.text, []byte(KindConfig)) {
		p.Message = "not YAML; what is wrong is not shown, because it may be of a sensitive config"
	}
	return p
}

// agreeConfigs checks what a container says of the configs it uses.
func (c *checker) agreeConfigs(spec *yamltree.Node) {
	list := at(spec, "configs")
	if list == nil || list.Kind != yamltree.SequenceNode {
		return
	}
	names, paths := map[string]bool{}, map[string]bool{}
	for i, item := range list.Content {
		path := fmt.Sprintf("spec.configs[%d]", i)
		name, where := at(item, "name"), at(item, "path")
		switch {
		case name == nil:
		case names[name.Value]:
			c.add(name, path+".name", fault{quote(name.Value) + " is listed already", "remove one of the two"})
		case where == nil && scalar(item, "env") != "true":
			c.add(item, path, fault{"is used for nothing", "say path for its files, env: true for its variables, or both"})
		}
		if name != nil {
			names[name.Value] = true
		}
		if where != nil {
			c.agreeConfigPath(path+".path", where, spec, paths)
		}
	}
}

// agreeConfigPath checks where the files of a config are to be seen: nothing can be mounted in a directory that is read-only.
func (c *checker) agreeConfigPath(path string, where, spec *yamltree.Node, taken map[string]bool) {
	if err := checkPlace(MountBind, where.Value, scalar(spec, "base") == string(BaseNone)); err != nil {
		c.add(where, path, err)
	}
	for other := range taken {
		if isWithin(other, where.Value) || isWithin(where.Value, other) {
			c.add(where, path, fault{quote(where.Value) + " and the path of another config, " + quoteBare(other) + ", are one in the other", "give it another path"})
		}
	}
	taken[where.Value] = true
	if mounts := at(spec, "mounts"); mounts != nil && mounts.Kind == yamltree.SequenceNode {
		for _, m := range mounts.Content {
			if destination := scalar(m, "destination"); isWithin(destination, where.Value) {
				c.add(where, path, fault{quoteBare(destination) + " of spec.mounts would be in it, or hidden by it", "give it another path"})
			}
		}
	}
}

// isWithin tells whether a clean path is a directory or below it.
func isWithin(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
