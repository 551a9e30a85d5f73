package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const (
	older = "web/20260101-000000001"
	newer = "web/20260102-000000001"
)

// album is an agent with two images of web, and a client of it.
func album(t *testing.T) (*apitest.Agent, *client.Client) {
	t.Helper()
	agent := apitest.New()
	agent.Put(object("web", spec.PhaseRunning))
	agent.Put(object("off", spec.PhaseStopped))
	for _, ref := range []string{older, newer} {
		agent.AddImage(spec.Image{Container: "web", ID: ref[4:], Bytes: 5}, strings.Repeat(ref, 100_000))
	}
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, agent)
	c := client.New(path)
	return agent, c
}

func TestImages(t *testing.T) {
	agent, c := album(t)
	ctx := t.Context()
	taken, err := c.Checkpoint(ctx, "web", spec.CheckpointOptions{Keep: true, Cause: "before the upgrade"})
	check(t, "Checkpoint", err, taken.Kept && taken.Cause == "before the upgrade")
	_, err = c.Checkpoint(ctx, "off", spec.CheckpointOptions{})
	check(t, "Checkpoint of what is stopped", nil, errors.Is(err, spec.ErrNotRunning))
	_, err = c.Checkpoint(ctx, "nope", spec.CheckpointOptions{})
	check(t, "Checkpoint of nobody", nil, errors.Is(err, fs.ErrNotExist))

	list, err := c.Images(ctx, "web")
	check(t, "Images", err, len(list.Items) == 3 && list.Items[0].ID == taken.ID && list.Kind == api.KindImageList)
	list, err = c.Images(ctx, "off")
	check(t, "Images of none", err, len(list.Items) == 0)
	details, err := c.Image(ctx, older)
	check(t, "Image", err, details.ID == older[4:] && len(details.Processes) == 2 && details.Files[0].Bytes > 0)
	_, err = c.Image(ctx, "web/20270101-000000000")
	check(t, "Image of none", nil, errors.Is(err, fs.ErrNotExist) && strings.Contains(err.(*api.Error).Text, "checkpoint ls web"))
	_, err = c.Image(ctx, "web")
	check(t, "Image without an ID", nil, errors.Is(err, fs.ErrInvalid))
	_, err = c.Image(ctx, "../../version")
	check(t, "Image by a path", nil, errors.Is(err, fs.ErrInvalid))

	kept, err := c.KeepImage(ctx, older, true)
	check(t, "KeepImage", err, kept.Kept)
	kept, err = c.KeepImage(ctx, older, false)
	check(t, "KeepImage no longer", err, !kept.Kept)
	_, err = c.VerifyImage(ctx, newer)
	check(t, "VerifyImage", err, true)
	agent.Image(newer, true, "pages-1.img is shorter than said", false)
	_, err = c.VerifyImage(ctx, newer)
	check(t, "VerifyImage of a damaged one", nil, errors.Is(err, fs.ErrInvalid) && strings.Contains(err.Error(), "pages-1.img"))
	_, err = c.RemoveImage(ctx, newer)
	check(t, "RemoveImage in use", nil, errors.Is(err, spec.ErrBusy) && errors.Is(err, api.ErrConflict))
	removed, err := c.RemoveImage(ctx, older)
	check(t, "RemoveImage", err, removed.Ref() == older)
	_, err = c.RemoveImage(ctx, older)
	check(t, "RemoveImage twice", nil, errors.Is(err, fs.ErrNotExist))
}

func TestRestore(t *testing.T) {
	agent, c := album(t)
	agent.Image(newer, false, "a file is missing", false)
	for image, want := range map[string]string{"": "restore web", "web": "restore web web", older: "restore web " + older} {
		_, err := c.Restore(t.Context(), "web", image)
		check(t, "Restore from "+image, err, agent.Asked()[len(agent.Asked())-1] == want)
	}
	before := len(agent.Asked())
	for image, want := range map[string]error{newer: fs.ErrInvalid, "off": fs.ErrNotExist, "web/20270101-000000000": fs.ErrNotExist, "a b": fs.ErrInvalid} {
		if _, err := c.Restore(t.Context(), "web", image); !errors.Is(err, want) {
			t.Errorf("Restore from %q: got %v, want %v", image, err, want)
		}
	}
	if len(agent.Asked()) != before {
		t.Errorf("something was restored from an image that is of no use: %v", agent.Asked())
	}
}

// What goes out comes in again, whole or not at all.
func TestExportAndImport(t *testing.T) {
	agent, c := album(t)
	export := func(ref string) ([]byte, error) {
		body, err := c.ExportImage(t.Context(), ref, true)
		if err != nil {
			return nil, err
		}
		defer body.Close()
		return io.ReadAll(body)
	}
	archive, err := export(older)
	check(t, "ExportImage", err, bytes.Count(archive, []byte(older)) == 100_000)
	agent.Image(newer, false, "", true)
	_, err = export(newer)
	check(t, "ExportImage that fails in the middle", nil, errors.Is(err, io.ErrUnexpectedEOF))
	_, err = export("web/20270101-000000000")
	check(t, "ExportImage of none", nil, errors.Is(err, fs.ErrNotExist))

	moved, err := c.ImportImage(t.Context(), iotest.HalfReader(bytes.NewReader(archive)), "copy")
	check(t, "ImportImage", err, moved.Ref() == "copy/"+older[4:] && moved.Kept)
	again, err := export(moved.Ref())
	check(t, "ExportImage of an import", err, bytes.Count(again, []byte(older)) == 100_000)

	count := func() int {
		list, err := c.Images(t.Context(), "")
		check(t, "Images", err, true)
		return len(list.Items)
	}
	before := count()
	broken := errors.New("the disk is gone")
	_, err = c.ImportImage(t.Context(), io.MultiReader(bytes.NewReader(archive[:len(archive)/2]), iotest.ErrReader(broken)), "copy2")
	check(t, "ImportImage of what cannot be read", nil, errors.Is(err, broken))
	_, err = c.ImportImage(t.Context(), bytes.NewReader(archive[:len(archive)-1]), "copy2")
	check(t, "ImportImage of what is cut", nil, err != nil)
	_, err = c.ImportImage(t.Context(), bytes.NewReader(archive), "no/name")
	check(t, "ImportImage with a bad name", nil, errors.Is(err, fs.ErrInvalid))
	// Refused by its first bytes, while there is far more to come than fits into the socket.
	_, err = c.ImportImage(t.Context(), io.MultiReader(strings.NewReader("hello\n"), io.LimitReader(zeros{}, 1<<30)), "copy2")
	check(t, "ImportImage of something else", nil, errors.Is(err, fs.ErrInvalid) && strings.Contains(err.Error(), "no archive"))
	ctx, cancel := context.WithCancel(t.Context())
	_, err = c.ImportImage(ctx, io.MultiReader(bytes.NewReader(archive[:len(archive)/2]), act(cancel), io.LimitReader(zeros{}, int64(len(archive)/2-1))), "copy2") // never enough for a whole one
	check(t, "ImportImage that is given up", nil, errors.Is(err, context.Canceled))
	if now := count(); now != before {
		t.Errorf("%d images, want %d", now, before)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// act is a reader of nothing that does something.
type act func()

func (a act) Read([]byte) (int, error) {
	a()
	return 0, io.EOF
}

// A caller who leaves wants no image any more.
func TestLeavingGivesUp(t *testing.T) {
	agent, c := album(t)
	_, begun, gaveUp := agent.Hold()
	for what, ask := range map[string]func(context.Context) error{
		"checkpoint": func(ctx context.Context) error {
			_, err := c.Checkpoint(ctx, "web", spec.CheckpointOptions{})
			return err
		},
		"restore":  func(ctx context.Context) error { _, err := c.Restore(ctx, "web", ""); return err },
		"verify":   func(ctx context.Context) error { _, err := c.VerifyImage(ctx, older); return err },
		"shutdown": func(ctx context.Context) error { _, err := c.Shutdown(ctx, 0); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- ask(ctx) }()
		if got := <-begun; got != what {
			t.Errorf("%s has begun, want %s", got, what)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", what, err)
		}
		if got := <-gaveUp; got != what {
			t.Errorf("%s was given up, want %s", got, what)
		}
	}
	if asked := agent.Asked(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}

func TestShutdown(t *testing.T) {
	agent, c := album(t)
	saved := object("saved", spec.PhaseRunning)
	saved.Spec.Checkpoint.OnShutdown = true
	agent.Put(saved)
	release, _, _ := agent.Hold()
	_, err := c.Shutdown(t.Context(), 20*time.Millisecond)
	check(t, "Shutdown without time", nil, errors.Is(err, context.DeadlineExceeded))
	close(release)
	list, err := c.Shutdown(t.Context(), 0)
	var got []string
	for _, o := range list.Items {
		got = append(got, o.Metadata.Name+" "+string(o.Status.Phase))
	}
	check(t, "Shutdown", err, slices.Equal(got, []string{"off Stopped", "saved Checkpointed", "web Stopped"}))
}
