package machine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// proofFile is where below StateDir what criu can do here is kept.
const proofFile = "criu.json"

// Features adds what criu can do here to what the backend can, by the names of criu.Ability; see reconcile.Node.
func (n *Node) Features(ctx context.Context) map[string]error {
	all := n.Node.Features(ctx)
	proof, err := n.prove(ctx)
	for _, a := range criu.Abilities {
		all[string(a.Ability)] = err
		if err == nil {
			all[string(a.Ability)] = proof.Check(a.Ability)
		}
	}
	return all
}

// criu is one that has dumped and restored a process on this kernel.
func (n *Node) criu(ctx context.Context) (criu.Tool, error) {
	proof, err := n.prove(ctx)
	if err != nil {
		return criu.Tool{}, err
	}
	return proof.Tool, proof.Check(criu.Checkpoint)
}

// can is nil if criu can do something here; else errors.ErrUnsupported with the reason.
func (n *Node) can(ctx context.Context, a criu.Ability) error {
	proof, err := n.prove(ctx)
	if err != nil {
		return err
	}
	return proof.Check(a)
}

// networkLock is the way to hold packets that was proven.
func (n *Node) networkLock() criu.NetworkLock {
	n.find.Lock()
	defer n.find.Unlock()
	return n.proof.Lock
}

// prove finds criu and tries it, unless that was done for this program and this kernel.
func (n *Node) prove(ctx context.Context) (criu.Proof, error) {
	n.find.Lock()
	defer n.find.Unlock()
	if n.proof.Fresh() {
		return n.proof, nil
	}
	tool, err := criu.Find(ctx, n.cfg.CRIU)
	if err != nil {
		return criu.Proof{}, fmt.Errorf("%w: %w", err, errors.ErrUnsupported)
	}
	proof, err := criu.Recall(ctx, tool, filepath.Join(n.cfg.StateDir, proofFile))
	if ctx.Err() != nil {
		return criu.Proof{}, context.Cause(ctx)
	}
	if err != nil {
		n.cfg.Log.V(1).Info("criu is tried again at the next start", "error", err.Error())
	}
	n.proof = proof
	return proof, nil
}
