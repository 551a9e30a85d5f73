package linux

import (
	"context"
	"errors"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Exec starts a further process in a running instance; see reconcile.Node.
func (n *Node) Exec(_ context.Context, name string, _ uint64, _ spec.Exec) (_ spec.Session, err error) {
	defer func() { err = about("exec in", name, err) }()
	return nil, errors.ErrUnsupported
}

// Attach joins the input and output of an instance's own process; see reconcile.Node.
func (n *Node) Attach(_ context.Context, name string, _ uint64) (_ spec.Session, err error) {
	defer func() { err = about("attach to", name, err) }()
	return nil, errors.ErrUnsupported
}
