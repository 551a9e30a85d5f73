package main

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/journal"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// nodeLogs reads the output of a node's containers for the API.
type nodeLogs struct {
	node  *linux.Node
	agent *reconcile.Agent
}

// logStreams are the streams by the API's words.
var logStreams = map[string]log.Stream{"stdout": log.Stdout, "stderr": log.Stderr}

// Logs gives the lines that options choose.
func (n nodeLogs) Logs(ctx context.Context, name string, o api.LogOptions) (iter.Seq2[api.LogLine, error], error) {
	options := log.Options{
		Stream: logStreams[o.Stream], Since: o.Since, Until: o.Until, Tail: max(o.Tail, 0), Previous: o.Previous, Follow: o.Follow,
	}
	if o.Tail == 0 {
		options.Since = time.Now() // no old lines, and to a follower all new ones
	}
	lines, err := n.read(ctx, name, options)
	if err != nil {
		return nil, err
	}
	return func(yield func(api.LogLine, error) bool) {
		var before log.Line
		for line, err := range lines {
			if err != nil {
				yield(api.LogLine{}, err)
				return
			}
			goesOn := before.Partial && before.Run == line.Run && before.Stream == line.Stream
			if before.Partial && !goesOn && !yield(api.LogLine{Bytes: []byte("\n"), Continues: true}, nil) {
				return
			}
			if !yield(api.LogLine{Time: line.Time, Stream: line.Stream.String(), Bytes: lineBytes(line), Continues: goesOn}, nil) {
				return
			}
			before = line
		}
	}, nil
}

// errNotKept is why there is nothing to read of a container with driver None.
var errNotKept = &api.Error{Reason: api.ReasonInvalid, Message: "its output is not kept", Text: "say logs.driver: File, Journald or Both"}

// read reads the log, or the journal where that alone has all. Without a journal, all that it would have is still in the log.
func (n nodeLogs) read(ctx context.Context, name string, o log.Options) (iter.Seq2[log.Line, error], error) {
	object, err := n.agent.Object(name)
	if err != nil {
		return nil, err
	}
	switch driver := n.node.LogDriver(object.Spec.Logs); {
	case driver == spec.LogNone:
		return nil, errNotKept
	case driver == spec.LogJournald && journal.Listens():
		r := journal.Reader{Dir: n.node.LogDir(name), Senders: journal.SendersBeside(n.node.CgroupParent())}
		if o.Previous {
			r.Current = n.latest(ctx, name)
		}
		if err := r.Check(); err != nil {
			return nil, err
		}
		return r.Read(ctx, o), nil
	}
	return log.Read(ctx, n.node.LogDir(name), o), nil
}

// latest is the latest start of a container; none if there was none.
func (n nodeLogs) latest(ctx context.Context, name string) log.Run {
	instances, err := n.node.ObserveOne(ctx, name)
	if err != nil || len(instances) == 0 {
		return log.Run{}
	}
	in := instances[len(instances)-1]
	return log.Run{Instance: in.ID, Start: uint32(in.Starts)}
}

// lineBytes is a line as the container wrote it, or a note about what is missing.
func lineBytes(line log.Line) []byte {
	switch {
	case line.Dropped > 0:
		if len(line.Text) > 0 { // as the journal has it
			return append(slices.Clip(line.Text), '\n')
		}
		return append(journal.Missing(line.Dropped, "could not be written"), '\n')
	case line.Partial:
		return line.Text
	default:
		return append(slices.Clip(line.Text), '\n')
	}
}
