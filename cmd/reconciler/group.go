package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// isNamed tells whether a name that somebody gave means this container: by its own name or its group's.
func isNamed(o spec.Object, name string) bool {
	return o.Metadata.Name == name || o.Spec.Group == name
}

// isAnyOf tells whether one of the names means this container.
func isAnyOf(o spec.Object, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return isNamed(o, name) })
}

// members puts the containers of a group in the place of its name. A name that is nobody's is an error.
func (a *app) members(ctx context.Context, names []string) (all []string, err error) {
	for _, name := range names {
		_, err := a.client().Get(ctx, name)
		if err == nil {
			all = append(all, name)
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		list, listErr := a.client().List(ctx)
		if listErr != nil {
			return nil, listErr
		}
		before := len(all)
		for _, o := range list.Items {
			if isNamed(o, name) {
				all = append(all, o.Metadata.Name)
			}
		}
		if len(all) == before {
			return nil, err
		}
	}
	return all, nil
}
