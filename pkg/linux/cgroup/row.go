package cgroup

import (
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// row is one limit.
type row struct {
	key, controller string
	v2, v1          *store
	said            func(*spec.Resources) bool
}

// v1Name is the name of the row's controller in v1 hierarchies.
func (r row) v1Name() string {
	c, _ := controllerOf(r.controller)
	return c.v1
}

// store is how one version of a hierarchy keeps a limit. A text is what the kernel prints, so that what
// was written can be compared with what is read.
type store struct {
	// name is the kernel file that people know the limit by; files must be there for it to be kept.
	name  string
	files []string
	// needs are further files, for what is said.
	needs func(spec.Resources) []string
	// encode gives the settings for what is said; decode takes the same ones with the texts of the kernel.
	encode func(spec.Resources) ([]setting, error)
	decode func(settings []setting, into *spec.Resources) error
	// unset gives the settings for everything that may have been set: the kernel's defaults, or inherit.
	unset func(read func(file string) (string, error)) ([]setting, error)
	// covers are files whose texts the kernel changes while the limit is said.
	covers []string
	// prepare makes a limit safe, or possible, to write.
	prepare func(dir root, text string) error
	// next is used when a file is missing.
	next *store
}

// inherit as a default means what the cgroup above has: v1 cpusets are made empty and must not stay so.
const inherit = "\x00"

// setting is the text of one kernel file or, in a keyed file, of one key: a line of io.max.
type setting struct {
	file, at, text string
	// none is the text of a key that has no line.
	none string
	// bare keys are written without themselves.
	bare bool
	// entry is the key in a manifest's map.
	entry string
	// tidy gives a text of the kernel the form that encode has; nil when it has it.
	tidy func(text string) string
}

// line is what is written.
func (s setting) line() string {
	if s.at == "" || s.bare {
		return s.text
	}
	return s.at + " " + s.text
}

// codec is a store for a single value.
type codec[T comparable] struct {
	files   []string // written and read
	key     string   // of each file, if they are keyed
	bare    bool
	related []string // belonging to another limit, which says the same of them
	covers  []string
	unset   []string
	encode  func(v T, all spec.Resources) ([]string, error)
	decode  func(texts []string) (T, error)
	prepare func(dir root, text string) error
	next    *codec[T]
}

func (c *codec[T]) after(prepare func(dir root, text string) error) *codec[T] {
	c.prepare = prepare
	return c
}

// at makes the files keyed.
func (c *codec[T]) at(key string) *codec[T] {
	c.key = key
	return c
}

// unkeyed makes a keyed file one that is written without its key.
func (c *codec[T]) unkeyed() *codec[T] {
	c.bare = true
	return c
}

func (c *codec[T]) covering(files ...string) *codec[T] {
	c.covers = files
	return c
}

// or is what is used where one of the files is missing.
func (c *codec[T]) or(other *codec[T]) *codec[T] {
	last := c
	for last.next != nil {
		last = last.next
	}
	last.next = other
	return c
}

func limit[T comparable](key, controller string, leaf func(*spec.Resources) *T, v2, v1 *codec[T]) row {
	var zero T
	return row{
		key: key, controller: controller,
		v2: storeOf(v2, leaf), v1: storeOf(v1, leaf),
		said: func(r *spec.Resources) bool { return *leaf(r) != zero },
	}
}

func storeOf[T comparable](c *codec[T], leaf func(*spec.Resources) *T) *store {
	if c == nil {
		return nil
	}
	files := slices.Concat(c.files, c.related)
	return &store{
		name: files[0], files: files, covers: c.covers, prepare: c.prepare, next: storeOf(c.next, leaf),
		encode: func(r spec.Resources) ([]setting, error) {
			texts, err := c.encode(*leaf(&r), r)
			return c.settings(files, texts), err
		},
		unset: func(func(string) (string, error)) ([]setting, error) { return c.settings(c.files, c.unset), nil },
		decode: func(settings []setting, into *spec.Resources) error {
			v, err := c.decode(textsOf(settings))
			if err == nil {
				*leaf(into) = v
			}
			return err
		},
	}
}

func (c *codec[T]) settings(files, texts []string) (settings []setting) {
	for i, text := range texts {
		settings = append(settings, setting{file: files[i], at: c.key, text: text, bare: c.bare})
	}
	return settings
}

func textsOf(settings []setting) (texts []string) {
	for _, s := range settings {
		texts = append(texts, s.text)
	}
	return texts
}

// Row describes one limit for documentation and diagnosis.
type Row struct {
	Key        string // below resources in a manifest: memory.max
	Controller string
	V2         string // kernel file on cgroup v2, "" when v2 has none
	V1         string // kernel file on cgroup v1, "" when v1 has none
	Default    string // what a new cgroup's file has of it, "" when there is none for each entry of a map
}

// Rows describes every limit, in the order of the table.
func Rows() []Row {
	var rows []Row
	for _, r := range table {
		row := Row{Key: r.key, Controller: r.controller}
		for _, side := range []struct {
			*store
			file *string
		}{{r.v1, &row.V1}, {r.v2, &row.V2}} {
			if side.store == nil {
				continue
			}
			*side.file = side.store.name
			if unset, _ := side.unset(func(string) (string, error) { return "", nil }); len(unset) > 0 && unset[0].text != inherit {
				row.Default = unset[0].text
			}
		}
		rows = append(rows, row)
	}
	return rows
}
