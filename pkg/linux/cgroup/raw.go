package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Raw files are what resources.unified says: any file of a controller that can be read and written. The kernel may print something else
// than was written (max for a large number, all lines of a file for one), so the group keeps what was said, what the kernel made of
// it, and what there was before, which it gets back when the file leaves the manifest.

// rawAttribute holds a rawState as JSON. Like the identity, it dies with the group.
const rawAttribute = "user.reconciler.unified"

// rawState is what was done to raw files, by name.
type rawState map[string]rawFile

type rawFile struct {
	Said   string `json:"said"`
	Kernel string `json:"kernel"` // what was read after it was written
	Before string `json:"before"`
}

func rawKey(file string) string { return "unified." + file }

// prefix is the controller of a kernel file.
func prefix(file string) string {
	controller, _, _ := strings.Cut(file, ".")
	return controller
}

// rawRoot is the hierarchy a raw file is in.
func (p *Parent) rawRoot(file string) (root, error) {
	name := prefix(file)
	c, known := controllerOf(name)
	switch {
	case strings.ContainsAny(file, "/\n\x00") || !strings.Contains(file, "."):
		return root{}, fmt.Errorf("%q is no file of a controller: %w", file, fs.ErrInvalid)
	case name == "cgroup" && slices.Contains(spec.CgroupFiles, file):
		return p.unified, nil
	case name == "cgroup", name == "devices":
		return root{}, fmt.Errorf("%s is no limit: %w", file, fs.ErrInvalid)
	case !known:
		return root{}, &ControllerError{Controller: name, Err: errors.New("unknown")}
	}
	if h, ok := p.hierarchyOf(name); ok {
		return h.root, nil
	}
	if p.tree.V1[c.v1] != "" { // io.max where the controller is blkio's
		return root{}, &ControllerError{Controller: name, File: file}
	}
	return p.unified, p.lacking[c.name]
}

// unsupportedRaw says which raw files this host cannot have.
func (p *Parent) unsupportedRaw(raw map[string]string) (errs []error) {
	for _, file := range slices.Sorted(maps.Keys(raw)) {
		if _, err := p.rawRoot(file); err != nil {
			errs = append(errs, fmt.Errorf("cannot keep %s: %w", rawKey(file), err))
		}
	}
	return errs
}

// wantedRaw are the raw files that this host can have.
func (p *Parent) wantedRaw(raw map[string]string) map[string]string {
	wanted := maps.Clone(raw)
	maps.DeleteFunc(wanted, func(file, _ string) bool { _, err := p.rawRoot(file); return err != nil })
	if len(wanted) == 0 {
		return nil
	}
	return wanted
}

// getRaw reads raw files back: what was said, where the kernel still has what it made of it.
func (g *Group) getRaw(f *files, mask map[string]string) (map[string]string, error) {
	if len(mask) == 0 {
		return nil, nil
	}
	state, err := g.rawState()
	if err != nil {
		return nil, err
	}
	got := map[string]string{}
	for file := range mask {
		r, err := g.parent.rawRoot(file)
		if err != nil {
			continue // as in Wanted
		}
		text, err := f.read(r, file)
		switch was := state[file]; {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("cannot read %s of %s: %w", rawKey(file), g, err)
		case was.Said != "" && text == was.Kernel:
			got[file] = was.Said
		default:
			got[file] = text
		}
	}
	return got, nil
}

// setRaw writes the raw files that differ, and gives those that are said no more what they had before. When one is refused, those that
// were written get back what they had.
func (g *Group) setRaw(f *files, raw map[string]string) (err error) {
	if g.fresh.limits && len(raw) == 0 {
		return nil
	}
	state, err := g.rawState()
	if err != nil || len(state) == 0 && len(raw) == 0 {
		return err
	}
	next := rawState{}
	var undo []func() error
	defer func() {
		if err != nil {
			for _, u := range slices.Backward(undo) {
				err = errors.Join(err, u())
			}
		}
	}()
	for _, file := range slices.Sorted(maps.Keys(raw)) {
		now, old, err := g.writeRaw(f, file, raw[file], state[file])
		if err != nil {
			return fmt.Errorf("cannot set %s of %s to %q: %w", rawKey(file), g, raw[file], err)
		}
		if now != state[file] {
			undo = append(undo, func() error { return g.restoreRaw(file, old) })
		}
		next[file] = now
	}
	for file, was := range state {
		if _, said := raw[file]; !said && !g.parent.owns(file) {
			if err := g.restoreRaw(file, was.Before); err != nil {
				return fmt.Errorf("cannot give %s of %s back %q: %w", rawKey(file), g, was.Before, err)
			}
		}
	}
	return g.keepRaw(next)
}

// writeRaw writes one raw file, if it has not got the text yet, and says what came of it and what the file had.
func (g *Group) writeRaw(f *files, file, text string, was rawFile) (now rawFile, old string, err error) {
	r, err := g.parent.rawRoot(file)
	if err != nil {
		return was, "", err
	}
	old, err = f.read(r, file)
	if errors.Is(err, fs.ErrNotExist) && f.has(r) {
		return was, "", &ControllerError{Controller: prefix(file), File: file, Err: err}
	}
	if err != nil || was.Said == text && was.Kernel == old {
		return was, old, err
	}
	if err := g.writeLines(r, file, text); err != nil {
		return was, old, err
	}
	kernel, err := r.read(g.path + "/" + file)
	now = rawFile{Said: text, Kernel: strings.TrimSpace(kernel), Before: old}
	if was.Said != "" {
		now.Before = was.Before
	}
	return now, old, err
}

// writeLines writes each line by itself, as files take them that have one for each disk.
func (g *Group) writeLines(r root, file, text string) error {
	for line := range strings.Lines(text) {
		if err := r.write(g.path+"/"+file, strings.TrimSpace(line)); err != nil {
			return err
		}
	}
	return nil
}

// restoreRaw gives a file what it had before. One that was empty or is gone has nothing to be given.
func (g *Group) restoreRaw(file, before string) error {
	r, err := g.parent.rawRoot(file)
	if err == nil {
		err = g.writeLines(r, file, before)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// owns tells that a file belongs to a limit of the table, which then has its default.
func (p *Parent) owns(file string) bool {
	return slices.ContainsFunc(p.bounds(), func(b bound) bool {
		return b.err == nil && (slices.Contains(b.store.files, file) || b.controller == "hugetlb" && prefix(file) == "hugetlb")
	})
}

// rawState reads what was done to raw files; nothing when there is no word of it.
func (g *Group) rawState() (rawState, error) {
	dir, err := g.Dir()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	text := make([]byte, 64<<10)
	n, err := unix.Fgetxattr(int(dir.Fd()), rawAttribute, text)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ERANGE):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot read the raw files of %s: %w", g, err)
	}
	var state rawState
	_ = json.Unmarshal(text[:n], &state) // what is torn is lost: files are then written anew
	return state, nil
}

// keepRaw writes the state, or takes it away when there is nothing in it.
func (g *Group) keepRaw(state rawState) error {
	dir, err := g.Dir()
	if err != nil {
		return err
	}
	defer dir.Close()
	if len(state) == 0 {
		err = unix.Fremovexattr(int(dir.Fd()), rawAttribute)
	} else {
		var text []byte
		if text, err = json.Marshal(state); err == nil {
			err = unix.Fsetxattr(int(dir.Fd()), rawAttribute, text, 0)
		}
	}
	if err != nil && !errors.Is(err, unix.ENODATA) {
		return fmt.Errorf("cannot keep the raw files of %s: %w", g, err)
	}
	return nil
}
