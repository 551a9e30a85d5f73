package image

import (
	"fmt"
	"io/fs"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// contents are the files, directories and links below an image's directory, each by its path and in order; a directory stands after what is in it.
type contents struct {
	files, dirs []string
	links       map[string]string
}

// walk lists what is below a folder. What an image cannot have is fs.ErrInvalid.
func walk(f folder) (contents, error) {
	c := contents{links: map[string]string{}}
	if err := c.add(f, "", maxFileDepth); err != nil {
		return contents{}, err
	}
	slices.Sort(c.files)
	return c, nil
}

func (c *contents) add(f folder, prefix string, depth int) error {
	entries, err := f.entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := c.addEntry(f, e, path.Join(prefix, e.name), depth); err != nil {
			return err
		}
	}
	if len(c.files) > maxEntries {
		return fmt.Errorf("there are more than %d files: %w", maxEntries, fs.ErrInvalid)
	}
	c.dirs = append(c.dirs, path.Join(".", prefix))
	return nil
}

func (c *contents) addEntry(f folder, e entry, full string, depth int) error {
	if err := checkPath(full); err != nil {
		return err
	}
	switch {
	case e.mode.IsRegular():
		c.files = append(c.files, full)
		return nil
	case e.mode&fs.ModeSymlink != 0:
		target, err := readlink(f, e.name)
		if err != nil {
			return err
		}
		if !isParentLink(full, target) {
			return fmt.Errorf("%s is a symbolic link: %w", full, fs.ErrInvalid)
		}
		c.links[full] = target
		return nil
	case !e.mode.IsDir() || depth == 0:
		return fmt.Errorf("%s is neither a file nor a directory of an image: %w", full, fs.ErrInvalid)
	}
	below, err := f.sub(e.name)
	if err != nil {
		return err
	}
	defer below.close()
	return c.add(below, full, depth-1)
}

func readlink(f folder, name string) (string, error) {
	target := make([]byte, 256)
	n, err := unix.Readlinkat(int(f.dir.Fd()), name, target)
	if err != nil {
		return "", err
	}
	return string(target[:n]), nil
}
