package machine

import (
	"context"
	"errors"
	"io"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// VerifyImage reads an image as a restore would; see api.Images.
func (n *Node) VerifyImage(context.Context, string) error { return errors.ErrUnsupported }

// ShowImage is what is in an image.
func (n *Node) ShowImage(context.Context, string) (spec.ImageDetails, error) {
	return spec.ImageDetails{}, errors.ErrUnsupported
}

// KeepImage puts an image aside.
func (n *Node) KeepImage(context.Context, string, bool) error { return errors.ErrUnsupported }

// ExportImage writes an image as one archive.
func (n *Node) ExportImage(context.Context, string, io.Writer, bool) error {
	return errors.ErrUnsupported
}

// ImportImage makes an image of an archive.
func (n *Node) ImportImage(context.Context, io.Reader, string) (spec.Image, error) {
	return spec.Image{}, errors.ErrUnsupported
}
