package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// images are the images of ?container=NAME, or all. Those of a container that is gone are among them.
func (s *Server) images(r *http.Request) (any, error) {
	container, err := containerName(r, "container")
	if err != nil {
		return nil, err
	}
	images, err := s.Agent.Images(r.Context(), container)
	return ImageList{APIVersion: spec.APIVersion, Kind: KindImageList, Items: append([]spec.Image{}, images...)}, err
}

// containerName is the name of a container in a parameter of the query, or "".
func containerName(r *http.Request, parameter string) (string, error) {
	name := r.URL.Query().Get(parameter)
	if name == "" {
		return "", nil
	}
	if ref, err := spec.ParseImageRef(name); err != nil || ref.ID != "" {
		return "", &Error{Reason: ReasonInvalid, Message: fmt.Sprintf("%s=%q is no name of a container", parameter, name)}
	}
	return name, nil
}

// image is the one that the path of a request names.
func (s *Server) image(r *http.Request) (spec.Image, error) {
	ref, err := spec.ParseImageRef(r.PathValue("name") + "/" + r.PathValue("id"))
	if err != nil {
		return spec.Image{}, err
	}
	images, err := s.Agent.Images(r.Context(), ref.Container)
	if err != nil {
		return spec.Image{}, err
	}
	image, err := ref.Among(images)
	if errors.Is(err, fs.ErrNotExist) {
		err = noImage(err, ref.Container)
	}
	return image, err
}

func noImage(err error, container string) error {
	return &Error{Reason: ReasonNotFound, Message: err.Error(), Text: fmt.Sprintf("`reconciler checkpoint ls %s` lists what there is", container)}
}

func (s *Server) showImage(r *http.Request) (any, error) {
	image, err := s.image(r)
	if err != nil {
		return nil, err
	}
	return s.Images.ShowImage(r.Context(), image.Ref())
}

func (s *Server) removeImage(r *http.Request) (any, error) {
	image, err := s.image(r)
	if err != nil {
		return nil, err
	}
	return image, s.Agent.RemoveImage(r.Context(), image.Ref())
}

func (s *Server) keepImage(r *http.Request) (any, error) {
	request := KeepRequest{Keep: true}
	if err := readBody(r, &request); err != nil {
		return nil, err
	}
	image, err := s.image(r)
	if err != nil {
		return nil, err
	}
	if err := s.Images.KeepImage(r.Context(), image.Ref(), request.Keep); err != nil {
		return nil, err
	}
	return s.image(r)
}

func (s *Server) verifyImage(r *http.Request) (any, error) {
	if err := readBody(r, &struct{}{}); err != nil {
		return nil, err
	}
	image, err := s.image(r)
	if err != nil {
		return nil, err
	}
	return image, s.Images.VerifyImage(r.Context(), image.Ref())
}

// checkpoint takes an image now. A caller who leaves before it is complete wants none.
func (s *Server) checkpoint(r *http.Request) (any, error) {
	var o spec.CheckpointOptions
	if err := readBody(r, &o); err != nil {
		return nil, err
	}
	object, err := s.object(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return s.Agent.Checkpoint(r.Context(), object.Metadata.Name, o)
}

// restore asks for a run from an image and answers with the container as it is then, before it runs.
func (s *Server) restore(r *http.Request) (any, error) {
	var request RestoreRequest
	if err := readBody(r, &request); err != nil {
		return nil, err
	}
	object, err := s.object(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	name := object.Metadata.Name
	ref, err := spec.ParseImageRef(cmp.Or(request.Image, name))
	if err != nil {
		return nil, err
	}
	if err := s.Agent.Restore(r.Context(), name, request.Image); errors.Is(err, fs.ErrNotExist) && asError(err).Text == "" {
		return nil, noImage(err, ref.Container)
	} else if err != nil {
		return nil, err
	}
	return s.object(name)
}

// shutdown brings all containers down, and answers with what became of them.
func (s *Server) shutdown(r *http.Request) (any, error) {
	var request ShutdownRequest
	return s.bringDown(r, &request, &request.Timeout, s.Agent.Shutdown)
}

// drainNode is shutdown of a node that comes up again.
func (s *Server) drainNode(r *http.Request) (any, error) {
	var request DrainRequest
	return s.bringDown(r, &request, &request.Timeout, func(ctx context.Context) error { return s.Agent.Drain(ctx, request.Checkpoint) })
}

func (s *Server) undrain(r *http.Request) (any, error) {
	if err := s.Agent.Undrain(r.Context()); err != nil {
		return nil, err
	}
	return s.containers(r)
}

func (s *Server) bringDown(r *http.Request, request any, timeout *spec.Duration, do func(context.Context) error) (any, error) {
	if err := readBody(r, request); err != nil {
		return nil, err
	}
	ctx := r.Context()
	if d := time.Duration(*timeout); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	if err := do(ctx); err != nil {
		return nil, err
	}
	return s.containers(r)
}

// exportImage sends an image as one archive, with ?compress=1 a compressed one.
func (s *Server) exportImage(ctx context.Context, out *output, r *http.Request) error {
	image, err := s.image(r)
	if err != nil {
		return err
	}
	compress := r.URL.Query().Get("compress") == "1"
	return s.Images.ExportImage(ctx, image.Ref(), &archive{out, archiveTypes[compress]}, compress)
}

// archiveTypes are the content types of archives, compressed or not.
var archiveTypes = map[bool]string{false: "application/x-tar", true: "application/zstd"}

// archive is an output whose header is sent with the first byte: an error before that is an ordinary answer.
type archive struct {
	*output
	contentType string
}

// archivePiece is how much must be taken within writeTimeout.
const archivePiece = 256 << 10

func (a *archive) Write(p []byte) (written int, err error) {
	if !a.begun {
		if err := a.begin(a.contentType); err != nil {
			return 0, err
		}
	}
	for len(p) > 0 {
		a.deadline()
		n, err := a.w.Write(p[:min(len(p), archivePiece)])
		if written += n; err != nil {
			return written, err
		}
		p = p[n:]
	}
	return written, nil
}

// importImage makes an image of the archive that is the body, for ?name=NAME.
func (s *Server) importImage(r *http.Request) (any, error) {
	name, err := containerName(r, "name")
	if err != nil {
		return nil, err
	}
	body := &bounded{r.Body, s.MaxImport}
	image, err := s.Images.ImportImage(r.Context(), body, name)
	if err == nil {
		_, _ = io.CopyN(io.Discard, body, maxBody) // what fills the archive up
	}
	return image, err
}

// bounded is a body of so many bytes at most.
type bounded struct {
	from io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, &Error{Reason: ReasonTooLarge, Message: "the archive is larger than this agent takes"}
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// noImages is for a node that has none.
type noImages struct{}

var errNoImages = fmt.Errorf("this node takes no images: %w", errors.ErrUnsupported)

func (noImages) VerifyImage(context.Context, string) error { return errNoImages }
func (noImages) ShowImage(context.Context, string) (spec.ImageDetails, error) {
	return spec.ImageDetails{}, errNoImages
}
func (noImages) KeepImage(context.Context, string, bool) error { return errNoImages }
func (noImages) ExportImage(context.Context, string, io.Writer, bool) error {
	return errNoImages
}

func (noImages) ImportImage(context.Context, io.Reader, string) (spec.Image, error) {
	return spec.Image{}, errNoImages
}
