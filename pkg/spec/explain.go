package spec

import "strings"

// Explain finds a field of a container by its path, such as spec.resources.memory.max; "" is the manifest as a whole. A path may also
// begin with a kind, "container.", "group.", "job.", "config." or "nodepolicy.", or below spec, as in resources.memory; false when there is no such field
// (see Suggest).
func Explain(path string) (Field, bool) {
	kind, rest := cutKind(path)
	for name, tree := range trees() {
		if strings.EqualFold(kind, name) {
			return tree.explain(rest)
		}
	}
	return fieldTree().explain(path)
}

// Explain is Explain of the agent's configuration: AgentConfig, then a path.
func (s Settings) Explain(path string) (Field, bool) {
	kind, rest := cutKind(path)
	if !strings.EqualFold(kind, KindAgentConfig) {
		return Field{}, false
	}
	return s.tree.explain(rest)
}

// cutKind takes the first word of a path off, which may be a kind.
func cutKind(path string) (first, rest string) {
	first, rest, _ = strings.Cut(strings.TrimSuffix(path, "."), ".")
	return first, rest
}

// explain is the field at a path, which may leave spec. out.
func (f *Field) explain(path string) (Field, bool) {
	path = strings.TrimSuffix(path, ".")
	for _, start := range []string{"", "spec."} {
		if below := f.at(start + path); below != nil {
			return *below, true
		}
	}
	return Field{}, false
}

// at is the field at a path below f, nil when there is none. Indexes such as [0] and a map's own keys are passed over.
func (f *Field) at(path string) *Field {
	if path == "" {
		return f
	}
	name, rest, _ := strings.Cut(path, ".")
	name, _, _ = strings.Cut(name, "[")
	below := f.find(name)
	if below == nil && f.shape == shapeMap {
		below = f.item()
	}
	if below == nil {
		return nil
	}
	return below.at(rest)
}

// Suggest is the path of a field that an unknown path may have meant, "" when there is none like it.
func Suggest(path string) string {
	f, said := fieldTree(), ""
	for name := range strings.SplitSeq(path, ".") {
		below := f.find(name)
		if below == nil {
			if below = f.find(nearest(name, f.names())); below == nil {
				places := fieldTree().places(name)
				if len(places) == 0 {
					return ""
				}
				return places[0]
			}
		}
		f, said = below, below.Path
	}
	return said
}

// places are the paths of all fields below f with a key, but those in lists and maps.
func (f *Field) places(name string) []string {
	var paths []string
	for i := range f.Fields {
		below := &f.Fields[i]
		if below.name == name {
			paths = append(paths, below.Path)
		}
		if below.shape == shapeOne {
			paths = append(paths, below.places(name)...)
		}
	}
	return paths
}
