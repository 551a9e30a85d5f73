package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newImages(a *app) *cobra.Command {
	var format *format
	cmd := &cobra.Command{
		Use:     "ls [NAME...]",
		Aliases: []string{"list"},
		Short:   "List images, oldest first",
		Long: `List the images of containers, oldest first; those of containers that are gone are among them.
IMAGE is what the other verbs take. FROZEN is how long the container stood still for it. NOTE says what is the
matter with an image that cannot be restored, and whether it is kept by hand.`,
		Example: `  reconciler checkpoint ls
  reconciler checkpoint ls web -o json | jq -r '.items[-1].id'`,
		Annotations:       exits("0  listed, also when there are none", "1  error, or a NAME that does not exist"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			images, err := a.imagesOf(cmd.Context(), args)
			if err != nil {
				return err
			}
			if len(images) == 0 && (format.word == "table" || format.word == "wide") {
				fmt.Fprintln(a.err, "no images")
				return nil
			}
			return a.printImages(format.word, images)
		},
	}
	format = outputFlag(cmd, "table", "wide", "name", "json", "yaml")
	return cmd
}

// imagesOf are the images of containers and groups, of all for no names. A name that is neither a container's nor an image's is an error.
func (a *app) imagesOf(ctx context.Context, names []string) ([]spec.Image, error) {
	list, err := a.client().Images(ctx, "")
	if err != nil || len(names) == 0 {
		return list.Items, err
	}
	wanted := slices.Clone(names)
	for _, name := range names {
		if slices.ContainsFunc(list.Items, func(i spec.Image) bool { return i.Container == name }) {
			continue
		}
		members, err := a.members(ctx, []string{name})
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, members...)
	}
	return slices.DeleteFunc(list.Items, func(i spec.Image) bool { return !slices.Contains(wanted, i.Container) }), nil
}

// printImages prints images in a format; text has been said already.
func (a *app) printImages(format string, images []spec.Image) error {
	switch format {
	case "text":
		return nil
	case "name":
		for _, i := range images {
			fmt.Fprintln(a.out, clean(i.Ref()))
		}
		return nil
	case "json", "yaml":
		return a.encode(format, api.ImageList{APIVersion: spec.APIVersion, Kind: api.KindImageList, Items: append([]spec.Image{}, images...)})
	}
	header := []string{"IMAGE", "AGE", "SIZE", "MEMORY", "FROZEN", "CAUSE", "NOTE"}
	if format == "wide" {
		header = []string{"IMAGE", "AGE", "SIZE", "MEMORY", "FROZEN", "TOOK", "PACKED", "RUN", "SET", "KERNEL", "CRIU", "CAUSE", "NOTE"}
	}
	t := newTable(header...)
	for _, i := range images {
		t.add(imageRow(i, format == "wide")...)
	}
	t.draw(a.out)
	return nil
}

func imageRow(i spec.Image, wide bool) []cell {
	row := []cell{
		{text: i.Ref()},
		{text: orDash(age(i.CreatedAt))},
		{text: sizeText(float64(i.Bytes))},
		{text: sizeText(float64(i.Memory))},
		{text: quick(i.Frozen)},
	}
	if wide {
		row = append(row,
			cell{text: quick(i.Took)},
			cell{text: orDash(string(i.Compression))},
			cell{text: fmt.Sprintf("%d.%d", i.Instance, i.Starts)},
			cell{text: orDash(i.Set)},
			cell{text: orDash(i.Kernel)},
			cell{text: orDash(i.CRIU)},
		)
	}
	return append(row, cell{text: orDash(i.Cause)}, imageNote(i))
}

// imageNote is what is particular about an image.
func imageNote(i spec.Image) cell {
	if i.Problem != "" {
		return cell{text: i.Problem, colour: red}
	}
	var notes []string
	if i.Kept {
		notes = append(notes, "kept")
	}
	if i.Stopped {
		notes = append(notes, "stopped")
	}
	return cell{text: strings.Join(notes, ", ")}
}

// image finds the image that NAME/ID names, or NAME, its newest good one.
func (a *app) image(ctx context.Context, text string) (spec.Image, error) {
	ref, err := spec.ParseImageRef(text)
	if err != nil {
		return spec.Image{}, withHint(fmt.Errorf("%q is no image", text), "say NAME/ID, or NAME for its newest; `reconciler checkpoint ls` lists them")
	}
	list, err := a.client().Images(ctx, ref.Container)
	if err != nil {
		return spec.Image{}, err
	}
	image, err := ref.Among(list.Items)
	if err == nil {
		return image, nil
	}
	hint := "`reconciler checkpoint ls` lists what there is"
	if ref.ID == "" {
		hint = fmt.Sprintf("`reconciler checkpoint %s` takes one", ref.Container)
	}
	return image, withHint(err, hint)
}
