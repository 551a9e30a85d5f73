package linux

import (
	"context"
	"errors"

	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ExecPlain is Exec that confines nothing: to show that attackers find what there is to be found.
func (n *Node) ExecPlain(ctx context.Context, name string, id uint64, e spec.Exec) (spec.Session, error) {
	in, err := n.known(name, id)
	if err != nil {
		return nil, err
	}
	target, err := n.target(name, id)
	if err != nil {
		return nil, err
	}
	defer target.Close()
	plan, err := start.NewExec(spec.Defaulted(in.Spec, in.Defaults), e, target.Root, target.IDs, n.host)
	if err != nil {
		return nil, err
	}
	plan.Attribute.Reborn = false
	stdio, err := newStdio(e, target)
	if err != nil {
		return nil, err
	}
	s, err := n.exec(ctx, in, e, plan, target, stdio)
	if err != nil {
		return nil, errors.Join(err, stdio.close())
	}
	return s, nil
}
