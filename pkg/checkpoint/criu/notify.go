package criu

import (
	"context"
	"fmt"
	"os"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
)

// Notify are the functions that are called in the middle of a verb, in the order of the package's comment; nil ones agree. criu waits for each. An error makes
// it give up, and is what the verb returns, within a NotifyError. They run in the verb's goroutine and have to watch the verb's context themselves.
type Notify struct {
	PreDump, PostDump                  func() error
	PreRestore, PostSetupNamespaces    func() error
	NetworkLock, NetworkUnlock         func() error
	PreResume, PostResume, StatusReady func() error
	// SetupNamespaces and PostRestore are told the first process of what is restored, as criu's process namespace numbers it.
	SetupNamespaces, PostRestore func(pid int) error
	// OrphanPTSMaster is given the master of a terminal whose slaves the restored processes have: with Options.OrphanPTSMaster. It is the function's to close.
	OrphanPTSMaster func(master *os.File) error
	// ExternalFiles names more external things, as Options.Externals has them, once the processes stand still.
	ExternalFiles func() ([]string, error)
}

// NotifyError is a notification that was refused.
type NotifyError struct {
	Point string // as criu calls it: post-dump
	// Done tells that criu reported success all the same: after network-unlock, pre-resume and post-resume there is no way back.
	Done bool
	Err  error
}

func (e *NotifyError) Error() string { return fmt.Sprintf("at %s: %v", e.Point, e.Err) }
func (e *NotifyError) Unwrap() error { return e.Err }

// plain finds the function of a point that has nothing to tell.
func (n Notify) plain(point string) func() error {
	return map[string]func() error{
		"pre-dump":              n.PreDump,
		"post-dump":             n.PostDump,
		"pre-restore":           n.PreRestore,
		"post-setup-namespaces": n.PostSetupNamespaces,
		"network-lock":          n.NetworkLock,
		"network-unlock":        n.NetworkUnlock,
		"pre-resume":            n.PreResume,
		"post-resume":           n.PostResume,
		"status-ready":          n.StatusReady,
	}[point]
}

// withPid finds the function of a point that tells a process.
func (n Notify) withPid(point string) func(pid int) error {
	return map[string]func(int) error{"setup-namespaces": n.SetupNamespaces, "post-restore": n.PostRestore}[point]
}

// answer calls the function of a notification and makes the answer to it. Points that a newer criu may have are agreed to. Nothing is when the verb is
// over: criu may read the answer before it is killed, and kill the processes of a dump that nobody wants any more.
func (n Notify) answer(ctx context.Context, notify *rpc.CriuNotify, fd *os.File) (*rpc.CriuReq, error) {
	external, err := n.call(notify, fd)
	if err == nil {
		err = context.Cause(ctx)
	}
	req := &rpc.CriuReq{Type: rpc.CriuReqType_NOTIFY.Enum(), NotifySuccess: new(err == nil)}
	if len(external) > 0 && err == nil {
		req.Opts = &rpc.CriuOpts{ImagesDirFd: new(int32(-1)), External: external}
	}
	return req, err
}

func (n Notify) call(notify *rpc.CriuNotify, fd *os.File) (external []string, err error) {
	point := notify.GetScript()
	if point == "orphan-pts-master" && fd != nil {
		if n.OrphanPTSMaster == nil {
			return nil, fd.Close()
		}
		return nil, n.OrphanPTSMaster(fd)
	}
	if fd != nil {
		fd.Close()
		return nil, fmt.Errorf("%w: a descriptor at %q", ErrNonsense, point)
	}
	if f := n.withPid(point); f != nil {
		if notify.GetPid() <= 0 {
			return nil, fmt.Errorf("%w: no process at %q", ErrNonsense, point)
		}
		return nil, f(int(notify.GetPid()))
	}
	if f := n.plain(point); f != nil {
		return nil, f()
	}
	switch {
	case point == "":
		return nil, fmt.Errorf("%w: a notification of nothing", ErrNonsense)
	case point == "orphan-pts-master":
		return nil, fmt.Errorf("%w: a terminal without its descriptor", ErrNonsense)
	case point == "query-ext-files" && n.ExternalFiles != nil:
		return n.ExternalFiles()
	}
	return nil, nil
}
