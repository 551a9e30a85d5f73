package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

// nodeLogs reads the output of a node's containers for the API.
type nodeLogs struct{ node *linux.Node }

// logStreams are the streams by the API's words.
var logStreams = map[string]log.Stream{"stdout": log.Stdout, "stderr": log.Stderr}

// Logs gives the lines that options choose.
func (n nodeLogs) Logs(ctx context.Context, name string, o api.LogOptions) (iter.Seq2[api.LogLine, error], error) {
	options := log.Options{
		Stream: logStreams[o.Stream], Since: o.Since, Tail: max(o.Tail, 0), Previous: o.Previous, Follow: o.Follow,
	}
	if o.Tail == 0 {
		options.Since = time.Now() // no old lines, and to a follower all new ones
	}
	lines := log.Read(ctx, n.node.LogDir(name), options)
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

// lineBytes is a line as the container wrote it, or a note about what is missing.
func lineBytes(line log.Line) []byte {
	switch {
	case line.Dropped > 0:
		return fmt.Appendf(nil, "[%d bytes of output could not be written and are lost]\n", line.Dropped)
	case line.Partial:
		return line.Text
	default:
		return append(slices.Clip(line.Text), '\n')
	}
}
