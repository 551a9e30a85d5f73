package apitest

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// image is an image in memory.
type image struct {
	spec.Image
	content []byte
	busy    bool
	torn    bool // an export of it fails in the middle
}

// AddImage adds an image with something in it, as if it had been taken.
func (a *Agent) AddImage(i spec.Image, content string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.images = append(a.images, &image{Image: i, content: []byte(content)})
	slices.SortStableFunc(a.images, func(x, y *image) int {
		return cmp.Or(strings.Compare(x.ID, y.ID), strings.Compare(x.Container, y.Container))
	})
}

// Image says of an image that it is in use, damaged for a reason, or that its export fails in the middle.
func (a *Agent) Image(ref string, busy bool, problem string, torn bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.find(ref); i != nil {
		i.busy, i.Problem, i.torn = busy, problem, torn
	}
}

// Hold lets what takes long wait until the channel it returns is closed; what waits sends a word on begun, and another on gaveUp when its
// context ends before.
func (a *Agent) Hold() (release chan struct{}, begun, gaveUp <-chan string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hold = &hold{make(chan struct{}), make(chan string, 16), make(chan string, 16)}
	return a.hold.release, a.hold.begun, a.hold.gaveUp
}

type hold struct {
	release       chan struct{}
	begun, gaveUp chan string
}

// wait waits for a release, if there is a Hold.
func (a *Agent) wait(ctx context.Context, what string) error {
	a.mu.Lock()
	h := a.hold
	a.mu.Unlock()
	if h == nil {
		return nil
	}
	h.begun <- what
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
		h.gaveUp <- what
		return ctx.Err()
	}
}

func (a *Agent) find(ref string) *image {
	for _, i := range a.images {
		if i.Ref() == ref {
			return i
		}
	}
	return nil
}

func noImage(ref string) error { return fmt.Errorf("no image %s: %w", ref, fs.ErrNotExist) }

// Checkpoint takes an image of a container that runs or is paused.
func (a *Agent) Checkpoint(ctx context.Context, name string, o spec.CheckpointOptions) (spec.Image, error) {
	object, err := a.Object(name)
	if err != nil {
		return spec.Image{}, err
	}
	if p := object.Status.Phase; p != spec.PhaseRunning && p != spec.PhasePaused {
		return spec.Image{}, fmt.Errorf("cannot checkpoint %q: %w", name, spec.ErrNotRunning)
	}
	if err := a.wait(ctx, "checkpoint"); err != nil {
		return spec.Image{}, err
	}
	taken := spec.Image{
		Container: name, ID: fmt.Sprintf("20260101-%09d", len(a.Asked())), CreatedAt: time.Now(), Cause: cmp.Or(o.Cause, "by hand"),
		Instance: 1, Stopped: o.Stop, Kept: o.Keep, Bytes: 3 << 20, Memory: 2 << 20, Frozen: spec.Duration(18 * time.Millisecond), Took: spec.Duration(82 * time.Millisecond),
	}
	a.AddImage(taken, "memory of "+name)
	if o.Stop {
		object.Status.Phase, object.Status.Override.State = spec.PhaseCheckpointed, spec.StateCheckpointed
		a.Put(object)
	}
	return taken, a.ask(fmt.Sprintf("checkpoint %s stop=%t keep=%t", name, o.Stop, o.Keep))
}

// Restore starts a container from an image.
func (a *Agent) Restore(ctx context.Context, name, ref string) error {
	object, err := a.Object(name)
	if err != nil {
		return err
	}
	of, err := spec.ParseImageRef(cmp.Or(ref, name))
	if err != nil {
		return err
	}
	images, err := a.Images(ctx, of.Container)
	if err != nil {
		return err
	}
	i, err := of.Among(images)
	switch {
	case err != nil:
		return err
	case i.Problem != "":
		return fmt.Errorf("image %s is of no use: %s: %w", i.Ref(), i.Problem, fs.ErrInvalid)
	}
	if err := a.wait(ctx, "restore"); err != nil {
		return err
	}
	object.Status.Phase, object.Status.Override = spec.PhaseRunning, spec.Override{}
	object.Status.Container.StartedAt = time.Now()
	// One that a test has put there stays: it has no image that can be restored.
	if !slices.ContainsFunc(object.Status.Conditions, func(c spec.Condition) bool { return c.Type == spec.ConditionRestored && c.Status == spec.False }) {
		object.Status.Conditions = []spec.Condition{{Type: spec.ConditionRestored, Status: spec.True, Reason: "Latest", Message: i.Ref()}}
	}
	a.Put(object)
	return a.ask("restore", name, ref)
}

// Images are those taken, added and imported.
func (a *Agent) Images(_ context.Context, name string) (images []spec.Image, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, i := range a.images {
		if name == "" || i.Container == name {
			images = append(images, i.Image)
		}
	}
	return images, nil
}

// RemoveImage removes one that is not in use.
func (a *Agent) RemoveImage(_ context.Context, ref string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.find(ref); i != nil && i.busy {
		return fmt.Errorf("cannot remove image %s: %w", ref, spec.ErrBusy)
	}
	a.images = slices.DeleteFunc(a.images, func(i *image) bool { return i.Ref() == ref })
	return nil
}

// Shutdown stops all containers.
func (a *Agent) Shutdown(ctx context.Context) error {
	if err := a.wait(ctx, "shutdown"); err != nil {
		return err
	}
	objects, _ := a.Objects()
	for _, o := range objects {
		o.Status.Phase = spec.PhaseStopped
		if o.Spec.Checkpoint.OnShutdown {
			o.Status.Phase = spec.PhaseCheckpointed
		}
		a.Put(o)
	}
	return a.ask("shutdown")
}

// Drain is Shutdown, remembered as what it is.
func (a *Agent) Drain(ctx context.Context, checkpoint bool) error {
	if err := a.Shutdown(ctx); err != nil {
		return err
	}
	return a.ask("drain", strconv.FormatBool(checkpoint))
}

// Undrain remembers.
func (a *Agent) Undrain(context.Context) error { return a.ask("undrain") }

// VerifyImage finds the damage that was said.
func (a *Agent) VerifyImage(ctx context.Context, ref string) error {
	if err := a.wait(ctx, "verify"); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.find(ref)
	switch {
	case i == nil:
		return noImage(ref)
	case i.Problem != "":
		return fmt.Errorf("image %s is damaged: %s: %w", ref, i.Problem, fs.ErrInvalid)
	}
	return nil
}

// ShowImage is the image with a process in it.
func (a *Agent) ShowImage(_ context.Context, ref string) (spec.ImageDetails, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.find(ref)
	if i == nil {
		return spec.ImageDetails{}, noImage(ref)
	}
	return spec.ImageDetails{
		Image:     i.Image,
		Processes: []spec.ImageProcess{{Pid: 1, Comm: "sh\x1b", Threads: 1, Memory: 1 << 20}, {Pid: 7, Parent: 1, Comm: "sleep", State: "Stopped"}},
		Mounts:    []spec.ImageMount{{Destination: "/", FromManifest: true}, {Destination: "/proc", Type: "proc"}},
		Files:     []spec.ImageFile{{Name: "checkpoint/pages-1.img", Bytes: spec.Bytes(len(i.content))}},
	}, nil
}

// KeepImage puts an image aside.
func (a *Agent) KeepImage(_ context.Context, ref string, keep bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.find(ref)
	if i == nil {
		return noImage(ref)
	}
	i.Kept = keep
	return nil
}

// header is the first line of an archive of this package.
type header struct {
	Image spec.Image `json:"image"`
	Bytes int        `json:"bytes"`
	// Compressed is said only: there is nothing to gain in memory.
	Compressed bool `json:"compressed"`
}

// ExportImage writes a line of JSON and the content.
func (a *Agent) ExportImage(_ context.Context, ref string, w io.Writer, compress bool) error {
	a.mu.Lock()
	i := a.find(ref)
	if i == nil {
		a.mu.Unlock()
		return noImage(ref)
	}
	h, content, torn := header{i.Image, len(i.content), compress}, i.content, i.torn
	a.mu.Unlock()
	if err := json.NewEncoder(w).Encode(h); err != nil {
		return err
	}
	if torn {
		_, _ = w.Write(content[:len(content)/2])
		return fmt.Errorf("cannot read on: %w", fs.ErrInvalid)
	}
	_, err := w.Write(content)
	return err
}

// ImportImage reads what ExportImage writes.
func (a *Agent) ImportImage(ctx context.Context, r io.Reader, name string) (spec.Image, error) {
	from := bufio.NewReader(r)
	line, err := from.ReadBytes('\n')
	var h header
	if err == nil {
		if jsonErr := json.Unmarshal(line, &h); jsonErr != nil {
			err = fmt.Errorf("this is no archive of an image: %w", fs.ErrInvalid)
		}
	}
	if err != nil {
		return spec.Image{}, fmt.Errorf("cannot import: %w", err)
	}
	content := make([]byte, h.Bytes)
	if _, err := io.ReadFull(from, content); err != nil {
		_ = a.ask("import", "failed")
		return spec.Image{}, fmt.Errorf("cannot import: %w", err)
	}
	if err := a.wait(ctx, "import"); err != nil {
		return spec.Image{}, err
	}
	h.Image.Container, h.Image.Kept = cmp.Or(name, h.Image.Container), true
	a.AddImage(h.Image, string(content))
	return h.Image, a.ask("import", h.Image.Ref())
}

var _ api.Images = (*Agent)(nil)
