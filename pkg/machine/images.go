package machine

import (
	"context"
	"io"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// VerifyImage reads an image as a restore would; see api.Images.
func (n *Node) VerifyImage(ctx context.Context, ref string) error {
	_, err := n.ShowImage(ctx, ref)
	return err
}

// ShowImage reads an image and tells what is in it.
func (n *Node) ShowImage(ctx context.Context, ref string) (spec.ImageDetails, error) {
	source, err := n.images.Acquire(ref)
	if err != nil {
		return spec.ImageDetails{}, err
	}
	defer source.Close()
	if err := source.Verify(ctx); err != nil {
		return spec.ImageDetails{}, err
	}
	facts, err := source.Facts(ctx)
	if err != nil {
		return spec.ImageDetails{}, err
	}
	return describe(source, facts), nil
}

// describe tells what is in an image.
func describe(source *image.Reader, facts *image.Facts) spec.ImageDetails {
	d := spec.ImageDetails{Image: source.Image()}
	for _, t := range facts.Tasks {
		d.Processes = append(d.Processes, spec.ImageProcess{Pid: t.PID, Parent: t.Parent, Comm: t.Command, Threads: len(t.Threads)})
	}
	for _, m := range facts.Mounts {
		d.Mounts = append(d.Mounts, spec.ImageMount{Destination: m.Point, Type: m.Type, FromManifest: m.Key != "" || m.Point == "/"})
	}
	return d
}

// KeepImage puts an image aside, where retention leaves it alone, or no longer.
func (n *Node) KeepImage(_ context.Context, ref string, keep bool) error {
	_, err := n.images.Change(ref, image.Change{Facts: func(img *spec.Image) { img.Kept = keep }})
	return err
}

// ExportImage writes an image as one archive, packed with zstd or not.
func (n *Node) ExportImage(ctx context.Context, ref string, w io.Writer, compress bool) error {
	return n.images.Export(ctx, ref, w, compress)
}

// ImportImage makes an image of an archive, for a container, or for the one that it was taken of for "".
func (n *Node) ImportImage(ctx context.Context, r io.Reader, name string) (spec.Image, error) {
	return n.images.Import(ctx, r, name)
}

// tidy packs an image that was taken, if its container says so, and removes those that its retention has no place for. The image is there whatever comes of
// that.
func (n *Node) tidy(ctx context.Context, img spec.Image) spec.Image {
	policy := img.Spec.Spec.Checkpoint
	if policy.Compress == spec.CompressZstd {
		packed, err := n.images.Pack(ctx, img.Ref())
		if err != nil {
			n.cfg.Log.Error(err, "image stays unpacked", "image", img.Ref())
		} else {
			img = packed
		}
	}
	if _, err := n.images.Prune(img.Container, image.RetentionOf(policy)); err != nil {
		n.cfg.Log.Error(err, "images are left beyond retention", "container", img.Container)
	}
	return img
}
