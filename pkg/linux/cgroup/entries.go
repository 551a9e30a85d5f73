package cgroup

import (
	"maps"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// entriesCodec is a store for a map: each entry is a line in one or more keyed files, or has files of its own.
type entriesCodec[V comparable] struct {
	name  string // of the kernel file, when entries have files of their own
	files []string
	// key is an entry's key in the files; nil when it is the same.
	key func(entry string) (string, error)
	// own gives the files of one entry in place of files with keys, and all are the entries there may be.
	own func(entry string) []string
	all func() []string
	// none are the texts, one a file, of an entry that is not set.
	none   []string
	encode func(entry string, v V) ([]string, error)
	decode func(entry string, texts []string) (V, error)
	tidy   func(entry, text string) string // see setting
	next   *entriesCodec[V]
}

func (c *entriesCodec[V]) or(other *entriesCodec[V]) *entriesCodec[V] {
	c.next = other
	return c
}

func entries[V comparable](key, controller string, leaf func(*spec.Resources) *map[string]V, v2, v1 *entriesCodec[V]) row {
	return row{
		key: key, controller: controller,
		v2: storeOfEntries(v2, leaf), v1: storeOfEntries(v1, leaf),
		said: func(r *spec.Resources) bool { return len(*leaf(r)) > 0 },
	}
}

func storeOfEntries[V comparable](c *entriesCodec[V], leaf func(*spec.Resources) *map[string]V) *store {
	if c == nil {
		return nil
	}
	return &store{
		name: slices.Concat(c.files, []string{c.name})[0], files: c.files, next: storeOfEntries(c.next, leaf),
		needs: func(r spec.Resources) []string { return c.needs(*leaf(&r)) },
		encode: func(r spec.Resources) (settings []setting, err error) {
			said := *leaf(&r)
			for _, entry := range slices.Sorted(maps.Keys(said)) {
				of, err := c.settings(entry, said[entry])
				if err != nil {
					return nil, err
				}
				settings = append(settings, of...)
			}
			return settings, nil
		},
		unset: c.unset,
		decode: func(settings []setting, into *spec.Resources) error {
			read := map[string]V{}
			for of := range slices.Chunk(settings, len(c.none)) {
				v, err := c.decode(of[0].entry, textsOf(of))
				if err != nil {
					return err
				}
				read[of[0].entry] = v
			}
			*leaf(into) = read
			return nil
		},
	}
}

// settings are those of one entry.
func (c *entriesCodec[V]) settings(entry string, v V) (settings []setting, err error) {
	key := entry
	if c.key != nil {
		if key, err = c.key(entry); err != nil {
			return nil, err
		}
	}
	texts, err := c.encode(entry, v)
	if err != nil {
		return nil, err
	}
	files := c.files
	if c.own != nil {
		files, key = c.own(entry), ""
	}
	for i, text := range texts {
		settings = append(settings, setting{file: files[i], at: key, text: text, none: c.none[i], entry: entry, tidy: c.tidyOf(entry)})
	}
	return settings, nil
}

func (c *entriesCodec[V]) tidyOf(entry string) func(string) string {
	if c.tidy == nil {
		return nil
	}
	return func(text string) string { return c.tidy(entry, text) }
}

// needs are the files that entries have for themselves.
func (c *entriesCodec[V]) needs(said map[string]V) (files []string) {
	if c.own == nil {
		return nil
	}
	for _, entry := range slices.Sorted(maps.Keys(said)) {
		files = append(files, c.own(entry)...)
	}
	return files
}

// unset takes every entry that the files show back to what is not set.
func (c *entriesCodec[V]) unset(read func(file string) (string, error)) (settings []setting, err error) {
	if c.own != nil {
		for _, entry := range c.all() {
			for i, file := range c.own(entry) {
				settings = append(settings, setting{file: file, text: c.none[i], tidy: c.tidyOf(entry)})
			}
		}
		return settings, nil
	}
	for i, file := range c.files {
		text, err := read(file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			if key, _, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key != "default" && key != "Total" {
				settings = append(settings, setting{file: file, at: key, text: c.none[i], none: c.none[i]})
			}
		}
	}
	return settings, nil
}
