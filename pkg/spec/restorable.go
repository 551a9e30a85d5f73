package spec

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// elsewhere are the fields of class replace that may be others than where an image was taken: they are the container's surroundings, which
// are made anew and are no part of an image.
var elsewhere = []string{"network.address", "network.address6", "network.mac"}

// namedFields is how many fields an error names before it counts the rest.
const namedFields = 5

// Restorable tells why an image cannot begin a run of a container that was created under a version of the default values; nil if it can. Names,
// the host name that is made of the name, addresses on a bridge and all fields of class live may differ. Otherwise the error is fs.ErrInvalid and
// names the fields that do.
func Restorable(image Image, target Container, defaults int) error {
	if image.Hash == Identity(target, image.Defaults) {
		return nil
	}
	if image.Spec.Metadata.Name == "" {
		return unfit{fmt.Sprintf("image %s is of another spec, which is lost", image.Ref())}
	}
	unsaid := image.Spec.Spec.Hostname == "" && target.Spec.Hostname == ""
	var fields []string
	for _, change := range Diff(Defaulted(image.Spec, image.Defaults), Defaulted(target, defaults)) {
		switch path, _, _ := strings.Cut(change.Path, "["); {
		case change.Class != ClassReplace, slices.Contains(elsewhere, path), path == "hostname" && unsaid, slices.Contains(fields, "spec."+path):
		default:
			fields = append(fields, "spec."+path)
		}
	}
	if fields == nil {
		return nil
	}
	text := strings.Join(fields[:min(len(fields), namedFields)], ", ")
	if more := len(fields) - namedFields; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return unfit{fmt.Sprintf("image %s is of another spec: %s differ", image.Ref(), text)}
}

// unfit is an fs.ErrInvalid without its text, which speaks of arguments.
type unfit struct{ text string }

func (u unfit) Error() string { return u.text }

func (unfit) Unwrap() error { return fs.ErrInvalid }
