package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
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

// tryCRIU has the keeper start a trial of criu: this process may lack what criu has to have.
func (n *Node) tryCRIU(ctx context.Context, t criu.Trial) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	const program, stdin, stdout = "program", "stdin", "stdout"
	p := &process.Program{Clone: uint64(t.Namespaces)}
	linux.BeginTool(p)
	p.Call("lead a session", "", unix.SYS_SETSID)
	p.Call("enter directory", "/", unix.SYS_CHDIR, process.Str("/"))
	for fd, name := range []string{stdin, stdout} {
		p.Call("set up stdio", name, unix.SYS_DUP3, p.File(name), process.Int(fd), process.Int(0))
	}
	p.Call("close descriptors", "", unix.SYS_CLOSE_RANGE, process.Int(3), process.Int(^uint32(0)), process.Int(unix.CLOSE_RANGE_CLOEXEC))
	p.Call("execute", "this program", unix.SYS_EXECVEAT, p.File(program), process.Str(""), process.Strs(t.Args), process.Strs(t.Env), process.Int(unix.AT_EMPTY_PATH))
	return n.RunTool(ctx, p, map[string]*os.File{program: self, stdin: t.Stdin, stdout: t.Stdout})
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
	proof, err := criu.Recall(ctx, tool, filepath.Join(n.cfg.StateDir, proofFile), n.tryCRIU)
	if ctx.Err() != nil {
		return criu.Proof{}, context.Cause(ctx)
	}
	if err != nil {
		n.cfg.Log.V(1).Info("criu is tried again at the next start", "error", err.Error())
	}
	n.proof = proof
	return proof, nil
}
