package spec

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// ImageRef names images of one container: NAME/ID one of them, NAME alone the newest.
type ImageRef struct{ Container, ID string }

// ParseImageRef reads NAME or NAME/ID. What is neither is fs.ErrInvalid.
func ParseImageRef(text string) (ImageRef, error) {
	f := formats()["imageRef"]
	if len(text) > f.longest || !f.match().MatchString(text) {
		return ImageRef{}, fmt.Errorf("%s is not %s: %w", quote(text), f.wants, fs.ErrInvalid)
	}
	name, id, _ := strings.Cut(text, "/")
	return ImageRef{name, id}, nil
}

func (r ImageRef) String() string {
	if r.ID == "" {
		return r.Container
	}
	return r.Container + "/" + r.ID
}

// Among finds the image in a list: for a name alone the newest that nothing speaks against, or else the newest. None is fs.ErrNotExist.
func (r ImageRef) Among(images []Image) (Image, error) {
	var mine []Image
	for _, i := range images {
		if i.Container == r.Container && (r.ID == "" || i.ID == r.ID) {
			mine = append(mine, i)
		}
	}
	if len(mine) == 0 {
		return Image{}, fmt.Errorf("%w %s", errNoImage, r)
	}
	return slices.MaxFunc(mine, func(a, b Image) int {
		return cmp.Or(cmp.Compare(good(a), good(b)), strings.Compare(a.ID, b.ID))
	}), nil
}

func good(i Image) int {
	if i.Problem == "" {
		return 1
	}
	return 0
}

var errNoImage = noImage{errors.New("no image")}

// noImage is fs.ErrNotExist with a text of its own.
type noImage struct{ error }

func (noImage) Is(target error) bool { return target == fs.ErrNotExist }
