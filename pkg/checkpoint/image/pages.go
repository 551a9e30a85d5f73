package image

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// pagemapHead begins a pagemap: the number of the file that has the pages.
type pagemapHead struct {
	Pages uint32 `pb:"1"`
}

// pagemapEntry is a run of pages.
type pagemapEntry struct {
	Address  uint64  `pb:"1"`
	Compat   uint32  `pb:"2"`
	InParent bool    `pb:"3"`
	Flags    *uint32 `pb:"4"`
	Count    *uint64 `pb:"5"`
}

// Where the pages of a run are, see criu's pagemap.h. None of them: they are empty.
const (
	inParent  = 1 << 0
	isLazy    = 1 << 1
	isPresent = 1 << 2
)

func (e *pagemapEntry) flags() uint32 {
	switch {
	case e.Flags != nil:
		return *e.Flags
	case e.InParent:
		return inParent
	}
	return isPresent
}

func (e *pagemapEntry) count() uint64 {
	if e.Count != nil {
		return *e.Count
	}
	return uint64(e.Compat)
}

// run is a run of pages of one pagemap.
type run struct{ start, end uint64 } // in pages

// accounts are the pages of one directory of images.
type accounts struct {
	pages Pages
	files map[string]uint64 // pages by the file that has them
	runs  map[string][]run  // by pagemap
	// wanted are the runs whose pages were copied beforehand, by pagemap.
	wanted map[string][]run
}

// accountOf adds up the memory of an image, and refuses one in which pagemaps and files of pages do not agree: criu would wait for ever for pages that are cut
// off, and take others for them.
func accountOf(s source) (*accounts, error) { return accountIn(s, imagesName, maxParents) }

// maxParents bounds how often memory is copied beforehand.
const maxParents = 99

func accountIn(s source, dir string, parents int) (*accounts, error) {
	a := &accounts{files: map[string]uint64{}, runs: map[string][]run{}, wanted: map[string][]run{}}
	names := below(s, dir)
	for _, name := range withPrefix(names, "pagemap-") {
		if err := a.addPagemap(s, dir, name); err != nil {
			return nil, err
		}
	}
	for _, name := range withPrefix(names, "pages-") {
		size, err := s.size(path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		want := a.files[name] * pageSize
		delete(a.files, name)
		if uint64(size) != want {
			return nil, fmt.Errorf("%s/%s has %d bytes, and %d by the pagemaps: %w", dir, name, size, want, fs.ErrInvalid)
		}
	}
	for name, n := range a.files {
		if n > 0 {
			return nil, fmt.Errorf("%s/%s is missing: %w", dir, name, fs.ErrInvalid)
		}
	}
	return a, a.checkParent(s, dir, parents)
}

// addPagemap adds up one pagemap.
func (a *accounts) addPagemap(s source, dir, name string) error {
	file := ""
	end := uint64(0)
	var sum uint64
	err := messages(s, path.Join(dir, name), func(data []byte) error {
		if file == "" {
			var head pagemapHead
			if err := unmarshal(data, &head); err != nil {
				return err
			}
			file = fmt.Sprintf("pages-%d.img", head.Pages)
			return nil
		}
		var e pagemapEntry
		if err := unmarshal(data, &e); err != nil {
			return err
		}
		first, n := e.Address/pageSize, e.count()
		if e.Address%pageSize != 0 || first < end || n > maxFile/pageSize || n == 0 {
			return errWire(fmt.Sprintf("a run of %d pages at %#x is not possible there", n, e.Address))
		}
		end = first + n
		a.runs[name] = append(a.runs[name], run{first, end})
		switch e.flags() & (inParent | isPresent) {
		case inParent:
			a.wanted[name] = append(a.wanted[name], run{first, end})
		case 0:
		default:
			sum += n
		}
		return a.pages.add(e.flags(), n)
	}, false)
	if err != nil {
		return err
	}
	if file == "" {
		return errWire(path.Join(dir, name) + " is empty")
	}
	a.files[file] += sum
	return nil
}

func (p *Pages) add(flags uint32, n uint64) error {
	switch {
	case flags&isPresent != 0:
		p.Stored += n
		if flags&isLazy != 0 {
			p.Lazy += n
		}
	case flags&inParent != 0:
		p.Parent += n
	case flags&isLazy != 0:
		return errWire("there are pages that were left out")
	default:
		p.Zero += n
	}
	if p.Stored+p.Parent+p.Zero > maxFile/pageSize {
		return errWire("there are more pages than any machine has")
	}
	return nil
}

// checkParent looks whether the pages that were copied beforehand are where they are looked for.
func (a *accounts) checkParent(s source, dir string, parents int) error {
	link := s.link(path.Join(dir, "parent"))
	if link == "" {
		if a.pages.Parent > 0 {
			return fmt.Errorf("%s has pages of an image before it that is not there: %w", dir, fs.ErrInvalid)
		}
		return nil
	}
	next := path.Join(dir, link)
	if parents == 0 || len(below(s, next)) == 0 || !strings.HasPrefix(next, "pre-") {
		return fmt.Errorf("%s has a parent that is not there: %w", dir, fs.ErrInvalid)
	}
	before, err := accountIn(s, next, parents-1)
	if err != nil {
		return err
	}
	for name, runs := range a.wanted {
		for _, r := range runs {
			if !covered(r, before.runs[name]) {
				return fmt.Errorf("%s has pages that %s has not: %w", path.Join(dir, name), next, fs.ErrInvalid)
			}
		}
	}
	return nil
}

// covered tells whether all pages of a run are in others, which are in order.
func covered(r run, others []run) bool {
	i, _ := slices.BinarySearchFunc(others, r.start, func(o run, start uint64) int {
		if o.end <= start {
			return -1
		}
		return 1
	})
	for ; i < len(others) && others[i].start <= r.start; i++ {
		if r.start = others[i].end; r.start >= r.end {
			return true
		}
	}
	return false
}
