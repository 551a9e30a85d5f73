package linux

import (
	"context"
	"errors"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Attach joins the input and output of an instance's own process; see reconcile.Node.
func (n *Node) Attach(_ context.Context, name string, _ uint64) (_ spec.Session, err error) {
	defer func() { err = about("attach to", name, err) }()
	return nil, errors.ErrUnsupported
}
