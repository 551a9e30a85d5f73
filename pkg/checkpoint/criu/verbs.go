package criu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
)

// Dump writes an image of Options.Pid and all that descends from it. Without LeaveRunning the processes are killed at its end, after PostDump agreed
// and the image is whole, but not synced: criu syncs nothing. An error means that they run on, if criu replied or was killed before PostDump; after
// PostDump agreed, look at the processes.
func (c *Conn) Dump(ctx context.Context, o Options, n Notify) error {
	_, err := c.run(ctx, rpc.CriuReqType_DUMP, o, n)
	return err
}

// PreDump writes the memory of Options.Pid and all that descends from it, and lets them run on at once: the next image of theirs names it as its Parent and writes only
// what changed. It needs Features.TrackMemory: where the kernel lacks that, criu aborts.
func (c *Conn) PreDump(ctx context.Context, o Options, n Notify) error {
	o.TrackMemory = true
	_, err := c.run(ctx, rpc.CriuReqType_SINGLE_PRE_DUMP, o, n)
	return err
}

// Restore makes the processes of an image. The pid is that of the first of them, as criu's process namespace numbers it. An error that is a NotifyError with Done comes with
// a pid: they run.
func (c *Conn) Restore(ctx context.Context, o Options, n Notify) (pid int, err error) {
	resp, err := c.run(ctx, rpc.CriuReqType_RESTORE, o, n)
	if resp == nil {
		return 0, err
	}
	if pid = int(resp.GetRestore().GetPid()); pid <= 0 {
		return 0, fmt.Errorf("%w: a restore without a process", ErrNonsense)
	}
	return pid, err
}

// WriteCPU writes the facts of this processor into Options.ImagesDir, CheckCPU compares with them: the error says that an image with them cannot run here.
func (c *Conn) WriteCPU(ctx context.Context, o Options) error {
	_, err := c.run(ctx, rpc.CriuReqType_CPUINFO_DUMP, o, Notify{})
	return err
}

// CheckCPU is described at WriteCPU.
func (c *Conn) CheckCPU(ctx context.Context, o Options) error {
	_, err := c.run(ctx, rpc.CriuReqType_CPUINFO_CHECK, o, Notify{})
	return err
}

// run carries out a verb that has options and a log. The reply is nil unless criu reports success.
func (c *Conn) run(ctx context.Context, kind rpc.CriuReqType, o Options, n Notify) (*rpc.CriuResp, error) {
	verb := verbs[kind]
	if err := o.check(kind); err != nil {
		return nil, fmt.Errorf("cannot %s: %w", verb, err)
	}
	req := o.request(kind)
	if kind == rpc.CriuReqType_CPUINFO_DUMP || kind == rpc.CriuReqType_CPUINFO_CHECK {
		req.KeepOpen, req.Opts.NotifyScripts = new(true), nil
	}
	work := cmp.Or(o.WorkDir, o.ImagesDir)
	ctx, end := bounded(ctx, work, logOf[kind])
	defer end()
	resp, failed, err := c.call(ctx, req, n)
	switch {
	case err != nil && failed != nil && !errors.Is(err, failed.Err):
		return nil, fmt.Errorf("cannot %s: %w", verb, errors.Join(failed, err))
	case err != nil:
		return nil, withLog(fmt.Errorf("cannot %s: %w", verb, err), work, logOf[kind])
	case !resp.GetSuccess() && failed != nil:
		return nil, fmt.Errorf("cannot %s: %w", verb, failed)
	case !resp.GetSuccess():
		return nil, explain(verb, resp, errorsOf(work, logOf[kind]))
	case failed != nil:
		failed.Done = true
		return resp, fmt.Errorf("%s: %w", verb, failed)
	}
	return resp, nil
}

var verbs = map[rpc.CriuReqType]string{
	rpc.CriuReqType_DUMP:            "dump",
	rpc.CriuReqType_SINGLE_PRE_DUMP: "dump beforehand",
	rpc.CriuReqType_RESTORE:         "restore",
	rpc.CriuReqType_CPUINFO_DUMP:    "write the processor's features",
	rpc.CriuReqType_CPUINFO_CHECK:   "restore on this processor",
	rpc.CriuReqType_FEATURE_CHECK:   "ask criu what it can do",
	rpc.CriuReqType_VERSION:         "ask criu for its version",
}

// Features are what criu finds in this kernel.
type Features struct {
	// TrackMemory: pages that change can be told, for PreDump and Parent. LazyPages: memory can follow a restore. PidfdStore: process numbers that
	// are used again are noticed between dumps.
	TrackMemory, LazyPages, PidfdStore bool
}

// Features asks for them.
func (c *Conn) Features(ctx context.Context) (Features, error) {
	all := &rpc.CriuFeatures{MemTrack: new(true), LazyPages: new(true), PidfdStore: new(true)}
	resp, err := c.ask(ctx, &rpc.CriuReq{Type: rpc.CriuReqType_FEATURE_CHECK.Enum(), Features: all})
	f := resp.GetFeatures() // of the reply: those of the request are what was asked for
	return Features{f.GetMemTrack(), f.GetLazyPages(), f.GetPidfdStore()}, err
}

// Version asks for it: 4.2.1.
func (c *Conn) Version(ctx context.Context) (string, error) {
	resp, err := c.ask(ctx, &rpc.CriuReq{Type: rpc.CriuReqType_VERSION.Enum()})
	if err != nil {
		return "", err
	}
	v := resp.GetVersion()
	version := fmt.Sprintf("%d.%d", v.GetMajorNumber(), v.GetMinorNumber())
	if v.GetSublevel() > 0 {
		version += fmt.Sprintf(".%d", v.GetSublevel())
	}
	return version, nil
}

// ask carries out a request without options; criu stays for the next.
func (c *Conn) ask(ctx context.Context, req *rpc.CriuReq) (*rpc.CriuResp, error) {
	req.KeepOpen = new(true)
	resp, _, err := c.call(ctx, req, Notify{})
	if err == nil && !resp.GetSuccess() {
		err = explain(verbs[req.GetType()], resp, nil)
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("cannot %s: %w", verbs[req.GetType()], err)
	}
	return resp, nil
}

// withLog adds what criu wrote before it ended.
func withLog(err error, work *os.File, log string) error {
	if lines := errorsOf(work, log); len(lines) > 0 {
		return fmt.Errorf("%w; its log says: %w", err, newError("", lines))
	}
	return err
}
