package criu

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// maxKept bounds the file of a proof.
const maxKept = 64 << 10

// Recall is Prove, unless the file has a proof that still holds: of this program, on this kernel, and of nothing missing that installing or permitting
// something mends. What is proven anew is kept in the file. An error says only that it was not: the proof counts.
// A nil launch has this process start a trial.
func Recall(ctx context.Context, tool Tool, file string, launch Launch) (Proof, error) {
	now, err := identify(tool)
	if err == nil {
		if kept, ok := readProof(file); ok && kept.holds(now) {
			return kept, nil
		}
	}
	if launch == nil {
		launch = here
	}
	proof := prove(ctx, tool, launch)
	if ctx.Err() != nil {
		return proof, nil // it was interrupted, which says nothing for later
	}
	if err := proof.write(file); err != nil {
		return proof, fmt.Errorf("cannot keep what criu can do here: %w", err)
	}
	return proof, nil
}

// holds tells whether a proof is of what another one would be of, and would not differ.
func (p Proof) holds(now Proof) bool {
	same := p.of(now)
	for _, a := range []Ability{Checkpoint, TCP, UserNamespace} {
		same = same && p.Check(a) == nil
	}
	return same
}

// Fresh tells whether a proof is of this kernel and of the program that is there now.
func (p Proof) Fresh() bool {
	now, err := identify(p.Tool)
	return err == nil && p.of(now)
}

// of tells whether two proofs are of the same.
func (p Proof) of(now Proof) bool {
	return p.Tool == now.Tool && p.Size == now.Size && p.Modified.Equal(now.Modified) && p.Kernel == now.Kernel && p.Trial == now.Trial
}

func readProof(file string) (p Proof, ok bool) {
	f, err := os.Open(file)
	if err != nil {
		return p, false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKept))
	return p, err == nil && json.Unmarshal(data, &p) == nil
}

func (p Proof) write(file string) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
