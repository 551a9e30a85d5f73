package feature_test

import (
	"errors"
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// What a host lacks is an error that says since when kernels have it, and what helps; whatever could not be asked is another.
func ExampleFeature_Probe() {
	for _, f := range feature.All() {
		err := f.Probe()
		if lack, ok := errors.AsType[*feature.UnsupportedError](err); ok {
			fmt.Println(f.Name, "is for", f.Purpose, "and is missing:", lack.Reason, "remedy:", lack.Remedy)
		} else if err != nil {
			fmt.Println(f.Name, "could not be probed:", err)
		}
	}
}
