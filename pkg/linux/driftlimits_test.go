package linux

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Each limit is read where the kernel shows it.
func TestHardLimit(t *testing.T) {
	for i, name := range spec.RlimitNames {
		var want unix.Rlimit
		if err := unix.Prlimit(os.Getpid(), i, nil, &want); err != nil {
			t.Fatal(err)
		}
		if got, err := hardLimit(os.Getpid(), i); err != nil || got != want.Max {
			t.Errorf("%s is %d, %v, want %d", name, got, err, want.Max)
		}
	}
}
