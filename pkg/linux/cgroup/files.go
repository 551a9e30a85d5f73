package cgroup

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// files are a group's kernel files while one verb needs them: each is read once, and each directory to be written to opened once.
type files struct {
	group *Group
	dirs  map[root]root
	texts map[fileName]string
}

// fileName is a file of a group in one hierarchy.
type fileName struct {
	root root
	name string
}

func (g *Group) files() *files { return &files{group: g} }

func (f *files) close() {
	for _, dir := range f.dirs {
		_ = dir.dir.Close()
	}
}

// dir is the group's directory in a hierarchy.
func (f *files) dir(r root) (root, error) {
	if dir, ok := f.dirs[r]; ok {
		return dir, nil
	}
	dir, err := r.sub(f.group.path)
	if err == nil {
		if f.dirs == nil {
			f.dirs = map[root]root{}
		}
		f.dirs[r] = dir
	}
	return dir, err
}

// read is the text of a file, without the blanks around it.
func (f *files) read(r root, file string) (string, error) {
	name := fileName{r, file}
	if text, ok := f.texts[name]; ok {
		return text, nil
	}
	text, err := r.read(f.group.path + "/" + file)
	if err != nil {
		return "", err
	}
	if f.texts == nil {
		f.texts = map[fileName]string{}
	}
	text = strings.TrimSpace(text)
	f.texts[name] = text
	return text, nil
}

// kernel is the text that the kernel has where a setting says one.
func (f *files) kernel(r root, s setting) (string, error) {
	text, err := f.read(r, s.file)
	if err != nil {
		return "", err
	}
	if s.at != "" {
		text = lineOf(text, s.at, s.none)
	}
	if s.tidy != nil {
		text = s.tidy(text)
	}
	return text, nil
}

// lineOf is what a keyed file has of a key (cgroup-v2.rst, Interface Files).
func lineOf(text, key, none string) string {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == key {
			return strings.TrimSpace(value)
		}
	}
	return none
}

// has tells whether the group is in a hierarchy at all: in one that no limit needed it is not.
func (f *files) has(r root) bool {
	return unix.Faccessat(int(r.dir.Fd()), f.group.path, unix.F_OK, 0) == nil
}

// unset are the defaults of a limit in the group: none where the group has not got its controller.
func (f *files) unset(b bound) ([]setting, error) {
	if b.err != nil || b.optional() && !f.has(b.root) {
		return nil, nil
	}
	settings, err := b.store.unset(func(file string) (string, error) { return f.read(b.root, file) })
	if err == nil && b.optional() && len(settings) > 0 {
		_, err = f.read(b.root, settings[0].file)
	}
	if b.optional() && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return settings, err
}
