package cgroup

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strconv"
)

// Names are the names below the parent that a group can have, whether there is one or not.
func (p *Parent) Names() ([]string, error) {
	all, err := p.unified.dirs(".")
	return slices.DeleteFunc(all, func(name string) bool { return !names().MatchString(name) }), err
}

// List names every group that is there, by name and instance; what else is below the parent is passed over.
func (p *Parent) List() ([]*Group, error) {
	all, err := p.unified.dirs(".")
	if err != nil {
		return nil, err
	}
	var groups []*Group
	for _, name := range all {
		found, err := p.ListOne(name)
		if err != nil && !errors.Is(err, fs.ErrInvalid) {
			return nil, err
		}
		groups = append(groups, found...)
	}
	return groups, nil
}

// ListOne is List for one name; none is no error.
func (p *Parent) ListOne(name string) ([]*Group, error) {
	if _, err := p.Group(name, 0); err != nil {
		return nil, err
	}
	instances, err := p.unified.dirs(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var groups []*Group
	for _, id := range instances {
		n, err := strconv.ParseUint(id, 10, 64)
		if err == nil && strconv.FormatUint(n, 10) == id {
			groups = append(groups, &Group{Name: name, Instance: n, parent: p, path: name + "/" + id})
		}
	}
	slices.SortFunc(groups, func(a, b *Group) int { return cmp.Compare(a.Instance, b.Instance) })
	return groups, nil
}
