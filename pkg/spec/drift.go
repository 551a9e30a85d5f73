package spec

import (
	"cmp"
	"fmt"
)

// Drift is one thing of a running instance that the kernel shows otherwise than its start, and the live fields since, made it.
type Drift struct {
	// Field says what: a field of the manifest, or a file of the kernel's where the manifest has no word for it.
	Field string `json:"field"`
	// Found is what is there, Wanted what should be; "" is nothing.
	Found  string `json:"found"`
	Wanted string `json:"wanted"`
	// Repairable tells that the node can put it back with the same process.
	Repairable bool `json:"repairable,omitzero"`
}

// String is "hostname drifted: found db, wanted web".
func (d Drift) String() string {
	return fmt.Sprintf("%s drifted: found %s, wanted %s", d.Field, cmp.Or(d.Found, "nothing"), cmp.Or(d.Wanted, "nothing"))
}
