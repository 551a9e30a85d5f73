package spec

import (
	"reflect"
	"strings"
	"testing"
)

// Every limit counts where two containers' are compared.
func TestResourcesEqual(t *testing.T) {
	root := reflect.TypeFor[Container]()
	for _, change := range eachChange("", root, nil) {
		if !strings.HasPrefix(change.path, "spec.resources.") {
			continue
		}
		var c Container
		alter(change.at(&c))
		if r := c.Spec.Resources; r.IsZero() || r.Equal(Resources{}) || !r.Equal(r) {
			t.Errorf("%s makes no difference", change.path)
		}
	}
}
