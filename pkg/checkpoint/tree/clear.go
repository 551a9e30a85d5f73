package tree

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// clearDirectory removes what is in a directory. What is mounted in it, and what that is below, stays.
func clearDirectory(ctx context.Context, dir int) error {
	fd, err := openDirectory(dir, ".")
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = removeChildren(ctx, fd, root, 0)
	return err
}

// removeChildren removes all entries of an open directory, and tells whether it is empty then.
func removeChildren(ctx context.Context, dir int, name string, depth int) (empty bool, err error) {
	if depth > maxDepth {
		return false, fmt.Errorf("cannot remove %q: %w", name, errDeep)
	}
	all, err := list(dir)
	if err != nil {
		return false, fmt.Errorf("cannot remove what is in %q: %w", name, err)
	}
	empty = true
	for _, d := range all {
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		gone, err := remove(ctx, dir, d.name, join(name, d.name), depth)
		if err != nil {
			return false, err
		}
		empty = empty && gone
	}
	return empty, nil
}

// remove removes one entry, and tells whether it is gone.
func remove(ctx context.Context, dir int, name, full string, depth int) (gone bool, err error) {
	st, err := look(dir, name)
	if err != nil {
		return false, fmt.Errorf("cannot remove %q: %w", full, err)
	}
	if isMounted(&st) {
		return false, nil
	}
	flags := 0
	if isDirectory(&st) {
		fd, err := openDirectory(dir, name)
		if err != nil {
			return false, fmt.Errorf("cannot remove %q: %w", full, err)
		}
		empty, err := removeChildren(ctx, fd, full, depth+1)
		unix.Close(fd)
		if err != nil || !empty {
			return false, err
		}
		flags = unix.AT_REMOVEDIR
	}
	if err := unix.Unlinkat(dir, name, flags); err != nil {
		return false, fmt.Errorf("cannot remove %q: %w", full, err)
	}
	return true, nil
}
