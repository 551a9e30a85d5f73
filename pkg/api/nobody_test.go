package api

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// nobody is an agent without containers that forgets everything at once.
type nobody struct{}

func (nobody) Objects() ([]spec.Object, uint64)   { return nil, 0 }
func (nobody) Object(string) (spec.Object, error) { return spec.Object{}, fs.ErrNotExist }
func (nobody) Events(string, uint64) []Event      { return nil }
func (nobody) Sources() []Source                  { return nil }

func (nobody) Drift(context.Context, string) ([]spec.Drift, error) { return nil, fs.ErrNotExist }
func (nobody) Plan(context.Context) (Plan, error)                  { return Plan{}, nil }
func (nobody) Features(context.Context) map[string]error           { return nil }
func (nobody) Restart(context.Context, string) error               { return fs.ErrNotExist }
func (nobody) Kill(context.Context, string, string) error          { return fs.ErrNotExist }

func (nobody) RepairDrift(context.Context, string) ([]spec.Drift, error) {
	return nil, fs.ErrNotExist
}

func (nobody) Watch(context.Context, uint64) (<-chan Change, error) { return nil, ErrExpired }

func (nobody) WatchEvents(context.Context, string, uint64) <-chan Event {
	c := make(chan Event)
	close(c)
	return c
}

func (nobody) Override(context.Context, string, spec.Override) error { return fs.ErrNotExist }

func (nobody) Exec(context.Context, string, spec.Exec) (spec.Session, error) {
	return nil, fs.ErrNotExist
}

func (nobody) Attach(context.Context, string) (spec.Session, error) { return nil, fs.ErrNotExist }

func (nobody) ConfirmPrune(context.Context, string, string) error { return fs.ErrNotExist }

func (nobody) Logs(context.Context, string, LogOptions) (iter.Seq2[LogLine, error], error) {
	return nil, fs.ErrNotExist
}

func readCloser(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func (nobody) Stats(context.Context, string, uint64) (spec.Stats, error) { return spec.Stats{}, nil }

func (nobody) Processes(context.Context, string, uint64) ([]spec.Process, error) { return nil, nil }

func (nobody) Checkpoint(context.Context, string, spec.CheckpointOptions) (spec.Image, error) {
	return spec.Image{}, fs.ErrNotExist
}

func (nobody) Restore(context.Context, string, string) error        { return fs.ErrNotExist }
func (nobody) Images(context.Context, string) ([]spec.Image, error) { return nil, nil }
func (nobody) RemoveImage(context.Context, string) error            { return nil }
func (nobody) Shutdown(context.Context) error                       { return nil }
func (nobody) Drain(context.Context, bool) error                    { return nil }
func (nobody) Undrain(context.Context) error                        { return nil }
func (nobody) Undo(context.Context, string, int64) error            { return fs.ErrNotExist }

func (nobody) Revisions(context.Context, string) ([]spec.Revision, error) { return nil, fs.ErrNotExist }
