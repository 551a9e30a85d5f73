package image

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"time"
)

// The names in a store. Containers begin with a letter or a digit, so that they cannot be taken for the others.
const (
	recordName    = "reconciler.json"
	imagesName    = "checkpoint" // criu's images
	partialSuffix = ".partial"
	packSuffix    = ".pack" // where an image is being packed
	newSuffix     = ".new"
	lockName      = ".lock"
	setsName      = ".sets"
	verifiedName  = ".verified"
)

// maxEntries bounds the entries of one directory: a tree of processes has some images for each.
const maxEntries = 1 << 16

var (
	containerName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	idName        = regexp.MustCompile(`^[0-9]{8}-[0-9]{9}$`)
	setName       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	fileName      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_@%+=:,.-]{0,199}$`)
)

// idLayout is an ID as time.Time has it; the point goes.
const idLayout = "20060102-150405.000"

// idAt is the ID of an image taken at a time.
func idAt(t time.Time) string {
	return strings.Replace(t.UTC().Format(idLayout), ".", "", 1)
}

// timeOf is when an ID says that its image was taken.
func timeOf(id string) (time.Time, error) {
	if !idName.MatchString(id) {
		return time.Time{}, fmt.Errorf("%q is not an image: %w", id, fs.ErrInvalid)
	}
	t, err := time.Parse(idLayout, id[:15]+"."+id[15:])
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not an image: %w", id, fs.ErrInvalid)
	}
	return t, nil
}

// nextID is the ID of an image taken now that sorts after newest, also when the clock went backwards.
func nextID(now time.Time, newest string) (string, error) {
	id := idAt(now)
	if id > newest {
		return id, nil
	}
	last, err := timeOf(newest)
	if err != nil {
		return "", err
	}
	id = idAt(last.Add(time.Millisecond))
	if !idName.MatchString(id) || id <= newest {
		return "", fmt.Errorf("no image can come after %s: %w", newest, fs.ErrInvalid)
	}
	return id, nil
}

// splitRef takes NAME/ID apart.
func splitRef(ref string) (container, id string, err error) {
	container, id, _ = strings.Cut(ref, "/")
	if !containerName.MatchString(container) || !idName.MatchString(id) {
		return "", "", fmt.Errorf("%q is not an image such as web/20261126-203315123: %w", ref, fs.ErrInvalid)
	}
	return container, id, nil
}

// maxFileDepth is how many names a path in an image may have.
const maxFileDepth = 4

// checkPath refuses what is not the path of a file in an image.
func checkPath(p string) error {
	parts := strings.Split(p, "/")
	if len(parts) > maxFileDepth {
		return fmt.Errorf("%q is deeper than files of an image are: %w", p, fs.ErrInvalid)
	}
	for _, part := range parts {
		if !fileName.MatchString(part) {
			return fmt.Errorf("%q is not the name of a file of an image: %w", p, fs.ErrInvalid)
		}
	}
	return nil
}
