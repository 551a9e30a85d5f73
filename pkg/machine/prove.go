package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// prover knows the node's criu and what it can do here. It is asked again when the program has changed.
type prover struct {
	path string // of Config, "" for the first that is found
	file string // where a proof is kept

	mu    sync.Mutex
	tool  criu.Tool
	seen  fs.FileInfo // of the program, when it was asked; nil before
	proof criu.Proof
	err   error // why there is none
}

// prove gives the node's criu and what it can do.
func (p *prover) prove(ctx context.Context, warn func(error)) (criu.Tool, criu.Proof, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen != nil {
		if now, err := os.Stat(p.tool.Path); err == nil && os.SameFile(now, p.seen) && now.Size() == p.seen.Size() && now.ModTime().Equal(p.seen.ModTime()) {
			return p.tool, p.proof, nil
		}
	}
	p.seen = nil
	tool, err := criu.Find(ctx, p.path)
	if err != nil {
		return tool, criu.Proof{}, err
	}
	seen, err := os.Stat(tool.Path)
	if err != nil {
		return tool, criu.Proof{}, err
	}
	proof, err := criu.Recall(ctx, tool, p.file)
	if ctx.Err() != nil {
		return tool, proof, context.Cause(ctx)
	}
	if err != nil {
		warn(err)
	}
	p.tool, p.seen, p.proof = tool, seen, proof
	return tool, proof, nil
}

// criu gives the node's criu if it can do something, else errors.ErrUnsupported with the reason.
func (n *Node) criu(ctx context.Context, needs ...criu.Ability) (criu.Tool, criu.Proof, error) {
	tool, proof, err := n.prover.prove(ctx, func(err error) { n.cfg.Log.Error(err, "criu is tried again at the next start") })
	if err != nil {
		return tool, proof, unsupported(err)
	}
	for _, ability := range needs {
		if err := proof.Check(ability); err != nil {
			return tool, proof, err
		}
	}
	return tool, proof, nil
}

// Features says what this node can do; see reconcile.Node.
func (n *Node) Features(ctx context.Context) map[string]error {
	all := maps.Clone(n.Node.Features(ctx))
	_, proof, err := n.criu(ctx)
	for _, a := range criu.Abilities {
		why := err
		if why == nil {
			why = proof.Check(a.Ability)
		}
		all[string(a.Ability)] = why
	}
	return all
}

// proofFile is where a proof is kept below the state directory.
func proofFile(state string) string { return filepath.Join(state, "criu.json") }

// unsupported is what a node without a criu that works says.
func unsupported(err error) error { return fmt.Errorf("%w: %w", err, errors.ErrUnsupported) }
