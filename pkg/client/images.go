package client

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Checkpoint takes an image of a container, and of those of its group with it, and waits until it is complete. When ctx ends before, there
// is none and the container runs on.
func (c *Client) Checkpoint(ctx context.Context, name string, o spec.CheckpointOptions) (i spec.Image, err error) {
	return i, c.post(ctx, "/containers/"+url.PathEscape(name)+"/checkpoint", o, &i)
}

// Restore asks for a new run of a container that begins from an image: NAME/ID, NAME for the newest of that container, or "" for its own
// newest. What becomes of it is seen in its status.
func (c *Client) Restore(ctx context.Context, name, image string) (o spec.Object, err error) {
	return o, c.post(ctx, "/containers/"+url.PathEscape(name)+"/restore", api.RestoreRequest{Image: image}, &o)
}

// Images are the images of one container, or of all for "", oldest first.
func (c *Client) Images(ctx context.Context, name string) (l api.ImageList, err error) {
	var query url.Values
	if name != "" {
		query = url.Values{"container": {name}}
	}
	return l, c.get(ctx, "/images", query, &l)
}

// Image is what is in an image, NAME/ID, as was written down when it was taken: VerifyImage reads all of it. One that is not there is fs.ErrNotExist, of this method and those below.
func (c *Client) Image(ctx context.Context, ref string) (d spec.ImageDetails, err error) {
	return d, c.onImage(ctx, http.MethodGet, ref, "", nil, &d)
}

// VerifyImage reads an image as a restore would before it starts anything. fs.ErrInvalid tells what is wrong with it.
func (c *Client) VerifyImage(ctx context.Context, ref string) (i spec.Image, err error) {
	return i, c.onImage(ctx, http.MethodPost, ref, "/verify", struct{}{}, &i)
}

// KeepImage puts an image aside, so that retention leaves it alone, or gives it back.
func (c *Client) KeepImage(ctx context.Context, ref string, keep bool) (i spec.Image, err error) {
	return i, c.onImage(ctx, http.MethodPost, ref, "/keep", api.KeepRequest{Keep: keep}, &i)
}

// RemoveImage removes an image and says what it was. spec.ErrBusy when it is in use.
func (c *Client) RemoveImage(ctx context.Context, ref string) (i spec.Image, err error) {
	return i, c.onImage(ctx, http.MethodDelete, ref, "", nil, &i)
}

// Shutdown brings all containers down because the node goes down, and waits until they are; they may take as long as timeout, or ctx for 0.
// It gives what became of them. An agent that has done it starts nothing any more.
func (c *Client) Shutdown(ctx context.Context, timeout time.Duration) (l api.List, err error) {
	return l, c.post(ctx, "/shutdown", api.ShutdownRequest{Timeout: spec.Duration(timeout)}, &l)
}

// Drain brings all containers down until Undrain, with checkpoint into images as far as they can. Otherwise it is as Shutdown.
func (c *Client) Drain(ctx context.Context, timeout time.Duration, checkpoint bool) (l api.List, err error) {
	return l, c.post(ctx, "/drain", api.DrainRequest{Timeout: spec.Duration(timeout), Checkpoint: checkpoint}, &l)
}

// Undrain lets the manifests decide again.
func (c *Client) Undrain(ctx context.Context) (l api.List, err error) {
	return l, c.post(ctx, "/undrain", nil, &l)
}

// onImage asks for something of one image.
func (c *Client) onImage(ctx context.Context, method, ref, what string, from, into any) error {
	path, err := imagePath(ref)
	if err != nil {
		return err
	}
	return c.call(ctx, method, path+what, from, into)
}

func imagePath(ref string) (string, error) {
	r, err := spec.ParseImageRef(ref)
	if err == nil && r.ID == "" {
		err = &api.Error{Reason: api.ReasonInvalid, Message: fmt.Sprintf("%q names no image", ref), Text: "say which: NAME/ID"}
	}
	return "/images/" + r.String(), err
}

// ExportImage gives an image as one archive, perhaps compressed, to be read to its end: an error in place of it tells that it is not whole.
// The caller closes the reader.
func (c *Client) ExportImage(ctx context.Context, ref string, compress bool) (io.ReadCloser, error) {
	path, err := imagePath(ref)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	if compress {
		query.Set("compress", "1")
	}
	return c.open(ctx, path+"/export", query)
}

// ImportImage makes an image of an archive, for the container of that name, or the archive's own for "". The archive is read until the agent
// has all of it or refuses it; a read that has begun then goes on until it returns.
func (c *Client) ImportImage(ctx context.Context, archive io.Reader, name string) (i spec.Image, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return i, c.unreachable(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	path := "http://agent/" + api.APIVersion + "/images"
	if name != "" {
		path += "?" + url.Values{"name": {name}}.Encode()
	}
	source := &origin{from: archive}
	request, err := http.NewRequest(http.MethodPost, path, source)
	if err != nil {
		return i, err
	}
	request.Close = true
	response, err := exchange(conn, request)
	switch {
	case ctx.Err() != nil:
		return i, ctx.Err()
	case source.failed() != nil:
		return i, fmt.Errorf("cannot read the archive: %w", source.failed())
	case err != nil:
		return i, c.unreachable(err)
	case response.StatusCode != http.StatusOK:
		return i, c.refused(response)
	}
	return i, c.decode(response.Body, &i)
}

// exchange sends a request and receives the answer, which may come before all of the request is sent.
func exchange(conn net.Conn, request *http.Request) (*http.Response, error) {
	// It ends with the connection, which its caller closes, unless the body does not return from a read.
	go func() {
		if request.Write(conn) == nil {
			return
		}
		// Half a request is none. What the agent says of it can still be read.
		if c, ok := conn.(*net.UnixConn); ok {
			_ = c.CloseWrite()
		}
	}()
	return http.ReadResponse(bufio.NewReader(conn), request)
}

// origin is a reader that remembers why it failed.
type origin struct {
	from io.Reader
	mu   sync.Mutex
	err  error
}

func (o *origin) Read(p []byte) (int, error) {
	n, err := o.from.Read(p)
	if err != nil && err != io.EOF {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.err = err
	}
	return n, err
}

func (o *origin) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
