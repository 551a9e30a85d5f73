package cgroup

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// claims keeps who says what of which file, so that no two limits say different things and no default overwrites what is said.
type claims struct {
	settings map[claim]said
	files    map[fileName]string // the limits that files, whole or in part, belong to
	covered  map[fileName]bool   // nothing but their limit may write them
}

type claim struct {
	fileName
	at string
}

type said struct{ limit, text string }

func newClaims() claims {
	return claims{map[claim]said{}, map[fileName]string{}, map[fileName]bool{}}
}

// say claims what a limit says, and tells whether it is the first to say it.
func (c claims) say(b bound, s setting) (first bool, err error) {
	name := fileName{b.root, s.file}
	if c.covered[name] {
		return false, claimed(c.files[name], s.file)
	}
	id := claim{name, s.at}
	by, taken := c.settings[id]
	switch {
	case !taken:
		c.settings[id], c.files[name] = said{b.key, s.text}, b.key
		return true, nil
	case by.text != s.text:
		return false, claimed(by.limit, s.file)
	}
	return false, nil
}

// leave claims a default, and tells whether anybody else has anything to say.
func (c claims) leave(b bound, s setting) bool {
	id := claim{fileName{b.root, s.file}, s.at}
	if _, taken := c.settings[id]; taken || c.covered[id.fileName] {
		return false
	}
	c.settings[id] = said{b.key, s.text}
	return true
}

// cover claims the files whose texts the kernel changes while a limit is said.
func (c claims) cover(b bound) error {
	for _, file := range b.store.covers {
		if err := c.coverFile(fileName{b.root, file}, b.key); err != nil {
			return err
		}
	}
	return nil
}

// coverRaw claims raw files.
func (c claims) coverRaw(p *Parent, raw map[string]string) error {
	for _, file := range slices.Sorted(maps.Keys(raw)) {
		r, err := p.rawRoot(file)
		if err == nil {
			err = c.coverFile(fileName{r, file}, rawKey(file))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c claims) coverFile(name fileName, limit string) error {
	if by, taken := c.files[name]; taken {
		return claimed(by, name.name)
	}
	c.files[name], c.covered[name] = limit, true
	return nil
}

func claimed(by, file string) error {
	return fmt.Errorf("%s says something else of %s: %w", by, file, fs.ErrInvalid)
}
