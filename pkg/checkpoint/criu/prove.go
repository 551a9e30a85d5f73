package criu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// trialVersion is another one whenever a trial proves something else than before.
const trialVersion = 2

// proveTimeout bounds all trials together. They take a third of a second, and longer only where something is wrong.
const proveTimeout = 90 * time.Second

// The words that a program is started with to carry out a trial.
const (
	hookName   = "reconciler"
	hookTrial  = "criu-trial"
	hookInside = "criu-trial-inside"
)

// hooked tells that main has called Hook.
var hooked atomic.Bool

// Hook makes this program one that can prove that criu works. In a process that Prove started it carries out the trial and does not return; in any
// other it returns at once. Call it first in main, and in TestMain.
func Hook() {
	if len(os.Args) > 1 && os.Args[0] == hookName {
		switch os.Args[1] {
		case hookTrial:
			os.Exit(trialMain(os.Args[2:]))
		case hookInside:
			os.Exit(insideMain(os.Args[2:]))
		}
	}
	hooked.Store(true)
}

// Prove dumps and restores throwaway processes, and says what works. The processes live in namespaces of a process that ends with this one: their
// files are in memory, and nothing is left of them whoever is killed when. It needs root, and Hook.
func Prove(ctx context.Context, tool Tool) Proof { return prove(ctx, tool, here) }

func prove(ctx context.Context, tool Tool, launch Launch) Proof {
	proof, err := identify(tool)
	if err == nil {
		err = checkTrial()
	}
	if err != nil {
		return proof.lackAll(err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	started := time.Now()
	found, err := runTrial(ctx, tool, launch)
	proof.Took = time.Since(started)
	if err != nil {
		return proof.lackAll(err.Error())
	}
	proof.Lacks, proof.Lock = found.Lacks, found.Lock
	return proof
}

// identify fills in what a proof is of.
func identify(tool Tool) (Proof, error) {
	proof := Proof{Tool: tool, Trial: trialVersion}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return proof, err
	}
	proof.Kernel = unix.ByteSliceToString(name.Release[:]) + " " + unix.ByteSliceToString(name.Version[:])
	path, err := filepath.EvalSymlinks(tool.Path)
	if err != nil {
		return proof, fmt.Errorf("cannot find criu: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return proof, fmt.Errorf("cannot find criu: %w", err)
	}
	proof.Tool.Path, proof.Size, proof.Modified = path, info.Size(), info.ModTime().UTC()
	return proof, nil
}

// checkTrial refuses a trial that would say nothing about criu.
func checkTrial() error {
	switch {
	case !hooked.Load():
		return fmt.Errorf("cannot try criu: this program does not know how to: %w\nhint: call criu.Hook first in main (in a test, in TestMain)", fs.ErrInvalid)
	case !canTry():
		return fmt.Errorf("cannot try criu on this processor: %w", errors.ErrUnsupported)
	}
	return nil
}

// maxFound bounds what a trial may say.
const maxFound = 64 << 10

// found is what a trial says.
type found struct {
	Lacks map[Ability]string `json:"lacks"`
	Lock  NetworkLock        `json:"lock"`
}

// Trial is this program as it is to be started for a trial: with nothing open but its standard input and output, as process 1 of new namespaces and the leader of a new session.
type Trial struct {
	Args, Env     []string
	Namespaces    uintptr // flags of clone(2)
	Stdin, Stdout *os.File
}

// Launch carries out a trial: it returns when that has ended, or ctx has, and it with it. An exit code other than 0 is an error.
type Launch func(ctx context.Context, t Trial) error

// here is the Launch of a trial that is a child of this process.
func here(ctx context.Context, t Trial) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args, cmd.Env, cmd.Dir = t.Args, t.Env, "/"
	cmd.Stdin, cmd.Stdout = t.Stdin, t.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: t.Namespaces, Setsid: true}
	return cmd.Run()
}

// runTrial starts this program as process 1 of namespaces of its own, and reads what it says. It ends when its standard input does, and with it all.
func runTrial(ctx context.Context, tool Tool, launch Launch) (f found, err error) {
	stdin, alive, err := os.Pipe()
	if err != nil {
		return f, fmt.Errorf("cannot try criu: %w", err)
	}
	defer alive.Close()
	defer stdin.Close()
	out, stdout, err := os.Pipe()
	if err != nil {
		return f, fmt.Errorf("cannot try criu: %w", err)
	}
	defer out.Close()
	said := make(chan []byte, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(out, maxFound))
		said <- text
	}()
	err = launch(ctx, Trial{
		Args: []string{hookName, hookTrial, tool.Path}, Env: Environ(), Stdin: stdin, Stdout: stdout,
		Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
	})
	stdout.Close()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return f, fmt.Errorf("cannot try criu: only root may: %w", err)
	case err != nil:
		return f, fmt.Errorf("cannot try criu: %w", errors.Join(context.Cause(ctx), err))
	}
	if err := json.Unmarshal(<-said, &f); err != nil {
		return f, fmt.Errorf("cannot try criu: it says nothing of use: %w", err)
	}
	return f, nil
}
