package tree

import "golang.org/x/sys/unix"

// lowerDir is a directory of the lower layer as overlayfs sees it: without what the node has mounted on something in it.
type lowerDir struct {
	fd    int
	clone int // what to close, 0 if nothing
}

// look asks for one entry. Where something is mounted on it, it goes on with a clone of the directory, which has nothing mounted in it.
func (l *lowerDir) look(name string) (unix.Statx_t, error) {
	st, err := look(l.fd, name)
	if err != nil || !isMounted(&st) || l.clone != 0 {
		return st, err
	}
	fd, err := uncovered(l.fd)
	if err != nil {
		return st, err
	}
	l.fd, l.clone = fd, fd
	return look(l.fd, name)
}

// close closes the clone; the directory stays the caller's.
func (l *lowerDir) close() {
	if l.clone != 0 {
		unix.Close(l.clone)
	}
}

// uncovered opens a directory in a clone of its mount that nothing is mounted in: open_tree(2) without AT_RECURSIVE.
func uncovered(dir int) (int, error) {
	clone, err := unix.OpenTree(dir, "", unix.AT_EMPTY_PATH|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return none, err
	}
	defer unix.Close(clone)
	return openDirectory(clone, ".")
}
