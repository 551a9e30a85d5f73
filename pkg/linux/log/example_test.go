package log_test

import (
	"context"
	"fmt"
	stdlog "log"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

// A log is written from pipes and read by lines, while it is written or long after.
func ExampleRead() {
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		stdlog.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w, err := log.OpenWriter(dir, log.Limits{})
	if err != nil {
		stdlog.Fatal(err)
	}
	defer w.Close()
	run := log.Run{Instance: 1, Start: 1}
	w.Begin(run)
	for _, output := range []struct {
		stream log.Stream
		text   string
	}{{log.Stdout, "listening\nserving\n"}, {log.Stderr, "a complaint\n"}} {
		r, pipe, err := os.Pipe()
		if err != nil {
			stdlog.Fatal(err)
		}
		fmt.Fprint(pipe, output.text)
		pipe.Close()
		if _, err := w.Drain(run, output.stream, r, 0); err != nil {
			stdlog.Fatal(err)
		}
		r.Close()
	}
	w.End(run)

	for line, err := range log.Read(context.Background(), dir, log.Options{Tail: 2}) {
		if err != nil {
			stdlog.Fatal(err)
		}
		fmt.Printf("%v: %s\n", line.Stream, line.Text)
	}
	// Output:
	// stdout: serving
	// stderr: a complaint
}
