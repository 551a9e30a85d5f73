package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// maxManifest bounds one file; spec refuses what is larger with a better message.
const maxManifest = 64 << 20

// stdinName stands for the file of what is on stdin.
const stdinName = "<stdin>"

// manifest is one container and where it stands.
type manifest struct {
	Container spec.Container
	File      string
	Line      int
}

func (m manifest) name() string { return m.Container.Metadata.Name }

// manifests are the documents of some files, and everything that is wrong with them.
type manifests struct {
	documents []manifest
	configs   []configManifest
	problems  spec.Problems
	files     int
	dirs      []string // the directories among the paths: what is not in them is not wanted
	empty     []string // those of them in which no file has the name of a manifest
	policy    *spec.NodePolicy
}

// load reads files, directories and, for "-", in, as a policy allows. Names are unique over all of them.
func load(paths []string, in io.Reader, policy *spec.NodePolicy) (*manifests, error) {
	m := &manifests{policy: policy}
	for _, path := range paths {
		if err := m.add(path, in); err != nil {
			return nil, err
		}
	}
	m.checkNames()
	m.checkCircles()
	sort.SliceStable(m.documents, func(i, j int) bool { return m.documents[i].name() < m.documents[j].name() })
	return m, nil
}

func (m *manifests) add(path string, in io.Reader) error {
	if path == "-" {
		return m.read(stdinName, in)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, errors.Unwrap(err))
	}
	if !info.IsDir() {
		return m.addFile(path)
	}
	return m.addDir(path)
}

// addDir reads what the agent would read of a directory.
func (m *manifests) addDir(path string) error {
	m.dirs = append(m.dirs, path)
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("cannot read directory %s: %w", path, errors.Unwrap(err))
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return !source.IsManifest(e.Name()) })
	if len(entries) == 0 {
		m.empty = append(m.empty, path)
	}
	for _, entry := range entries {
		file := filepath.Join(path, entry.Name())
		if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
			m.problems = append(m.problems, spec.Problem{File: file, Line: 1, Column: 1, Message: "not a regular file"})
			continue
		}
		if err := m.addFile(file); err != nil {
			return err
		}
	}
	return nil
}

func (m *manifests) addFile(path string) error {
	data, err := readAnyone(path)
	if err != nil {
		return err
	}
	return m.take(path, data)
}

// readAnyone reads a file, whoever wrote it.
func readAnyone(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, errors.Unwrap(err))
	}
	defer f.Close()
	return readAll(path, f)
}

func readAll(file string, from io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxManifest))
	if of, ok := errors.AsType[*os.PathError](err); ok {
		err = of.Err // which names the file as well
	}
	if err != nil {
		err = fmt.Errorf("cannot read %s: %w", file, err)
	}
	return data, err
}

func (m *manifests) read(file string, from io.Reader) error {
	data, err := readAll(file, from)
	if err != nil {
		return err
	}
	return m.take(file, data)
}

// take takes over what a file says.
func (m *manifests) take(file string, data []byte) error {
	documents, problems := m.policy.Decode(file, data)
	m.files++
	m.problems = append(m.problems, problems...)
	for _, d := range documents {
		if d.Config != nil {
			m.addConfig(d, file)
			continue
		}
		m.documents = append(m.documents, manifest{d.Container, file, d.Line})
	}
	return nil
}

// checkNames keeps the first document of each name and reports the others.
func (m *manifests) checkNames() {
	first := map[string]manifest{}
	m.documents = slices.DeleteFunc(m.documents, func(d manifest) bool {
		f, taken := first[d.name()]
		if !taken {
			first[d.name()] = d
			return false
		}
		m.problems = append(m.problems, spec.Problem{
			File: d.File, Line: d.Line, Column: 1, Path: "metadata.name", Name: d.name(),
			Message: fmt.Sprintf("%q is taken by %s:%d", d.name(), f.File, f.Line), Hint: "names are unique on a node",
		})
		return true
	})
}

// checkCircles reports containers that depend on themselves by way of others.
func (m *manifests) checkCircles() {
	desired := map[string]*reconcile.Desired{}
	for _, d := range m.documents {
		desired[d.name()] = &reconcile.Desired{Container: d.Container, Origin: reconcile.Origin{Path: d.File, Line: d.Line}}
	}
	m.problems = append(m.problems, reconcile.Circles(desired)...)
}
