package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// criuWorks is since when criu is expected to work on every kernel there is: one that is older is the distribution's, and need not.
const criuWorks = "4.2"

// proven finds criu and tries it, once a test binary.
var proven = sync.OnceValues(func() (criu.Proof, error) {
	tool, err := criu.Find(context.Background(), "")
	if err != nil {
		return criu.Proof{}, err
	}
	return criu.Prove(context.Background(), tool), nil
})

// Criu is a criu that has dumped and restored a process here, with the abilities that the test needs. The test is skipped where no criu is installed, or one that is
// too old works not, or the kernel lacks what an ability is made of. It fails when a criu of today does not work. The test's package calls Main in its TestMain.
func Criu(t testing.TB, abilities ...criu.Ability) criu.Proof {
	t.Helper()
	Root(t)
	proof, err := proven()
	if err == nil {
		err = judgeCriu(proof, abilities)
	}
	var skip *skipCriu
	switch {
	case errors.Is(err, criu.ErrNotFound):
		t.Skip("skip: needs criu: none is here, scripts/criu.sh installs it")
	case errors.As(err, &skip):
		t.Skip(skip.why)
	case err != nil:
		t.Fatal(err)
	}
	return proof
}

type skipCriu struct{ why string }

func (s *skipCriu) Error() string { return s.why }

// judgeCriu turns a proof into an error, which is a skipCriu where that is no fault.
func judgeCriu(p criu.Proof, abilities []criu.Ability) error {
	for _, a := range append([]criu.Ability{criu.Checkpoint}, abilities...) {
		err := p.Check(a)
		kernels := a == criu.PreCopy || a == criu.Lazy
		switch {
		case err != nil && (kernels || olderThan(p.Tool.Version, criuWorks)):
			return &skipCriu{fmt.Sprintf("skip: needs %s of criu: %v (criu %s)", a, err, p.Tool.Version)}
		case err != nil:
			return fmt.Errorf("criu %s at %s: %w", p.Tool.Version, p.Tool.Path, err)
		}
	}
	return nil
}
