package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newVerifyImages(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify IMAGE...",
		Short: "Check images as a restore would",
		Long: `Check images as a restore would before it starts anything: all files are there and unchanged, and they hold
what an image may hold. IMAGE is NAME/ID, or NAME for its newest.`,
		Example:           "  reconciler checkpoint verify web\n  reconciler checkpoint verify $(reconciler checkpoint ls -o name)",
		Annotations:       exits("0  all are whole", "1  one is damaged, or error"),
		Args:              atLeastOneImage,
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachImage(cmd.Context(), args, a.image, func(ctx context.Context, i spec.Image) (string, error) {
				_, err := a.client().VerifyImage(ctx, i.Ref())
				return "ok", err
			})
		},
	}
}

func newKeepImages(a *app) *cobra.Command {
	var off bool
	cmd := &cobra.Command{
		Use:   "keep IMAGE...",
		Short: "Put images aside, so that retention leaves them alone",
		Long: `Put images aside: retention leaves them alone, and so does the removal of their container. IMAGE is NAME/ID, or
NAME for its newest.`,
		Example:           "  reconciler checkpoint keep web\n  reconciler checkpoint keep --off web/20261126-203315123",
		Args:              atLeastOneImage,
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			done := map[bool]string{false: "kept", true: "not kept any more"}[off]
			return a.eachImage(cmd.Context(), args, a.image, func(ctx context.Context, i spec.Image) (string, error) {
				_, err := a.client().KeepImage(ctx, i.Ref(), !off)
				return done, err
			})
		},
	}
	cmd.Flags().BoolVar(&off, "off", false, "give them back to retention")
	return cmd
}

func newRemoveImages(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "rm IMAGE...",
		Short:             "Remove images",
		Long:              "Remove images, each named by NAME/ID. One that is in use, by a restore say, stays.",
		Example:           "  reconciler checkpoint rm web/20261126-203315123\n  reconciler checkpoint rm $(reconciler checkpoint ls web -o name)",
		Args:              atLeastOneImage,
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachImage(cmd.Context(), args, a.certainImage, func(ctx context.Context, i spec.Image) (string, error) {
				_, err := a.client().RemoveImage(ctx, i.Ref())
				return "removed", err
			})
		},
	}
}

func atLeastOneImage(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage(cmd, fmt.Errorf("%s needs an image", cmd.Name()))
	}
	return nil
}

// certainImage is an image that is named in full.
func (a *app) certainImage(ctx context.Context, text string) (spec.Image, error) {
	if ref, err := spec.ParseImageRef(text); err == nil && ref.ID == "" {
		return spec.Image{}, withHint(fmt.Errorf("%q does not say which image", text), fmt.Sprintf("say NAME/ID; `reconciler checkpoint ls %s` lists them", text))
	}
	return a.image(ctx, text)
}

// eachImage does something to images and says so. One that is damaged or in use holds up no other.
func (a *app) eachImage(
	ctx context.Context, args []string, find func(context.Context, string) (spec.Image, error), do func(context.Context, spec.Image) (string, error),
) error {
	failed := 0
	for _, arg := range args {
		image, err := find(ctx, arg)
		if err != nil {
			return err
		}
		done, err := do(ctx, image)
		switch {
		case errors.Is(err, fs.ErrInvalid), errors.Is(err, spec.ErrBusy):
			failed++
			fmt.Fprintf(a.out, "%s: %s\n", image.Ref(), a.out.red(cleanLine(err.Error())))
		case err != nil:
			return err
		default:
			fmt.Fprintf(a.out, "%s: %s\n", image.Ref(), done)
		}
	}
	if failed > 0 {
		return &exit{code: exitError}
	}
	return nil
}
