package machine

import (
	"context"
	"io"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// VerifyImage reads an image as a restore would; see api.Images.
func (n *Node) VerifyImage(ctx context.Context, ref string) error { return n.images.Verify(ctx, ref) }

// ShowImage tells what is in an image, without its memory.
func (n *Node) ShowImage(ctx context.Context, ref string) (spec.ImageDetails, error) {
	return n.images.Details(ctx, ref)
}

// KeepImage puts an image aside, where retention leaves it alone, or no longer.
func (n *Node) KeepImage(_ context.Context, ref string, keep bool) error {
	return n.images.Keep(ref, keep)
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
