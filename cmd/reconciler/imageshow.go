package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newShowImage(a *app) *cobra.Command {
	var format *format
	cmd := &cobra.Command{
		Use:   "show IMAGE",
		Short: "Show what is in an image",
		Long: `Show an image: when and why it was taken, of which spec, and the processes, mounts and files in it.
IMAGE is NAME/ID, or NAME for its newest.`,
		Example:           "  reconciler checkpoint show web\n  reconciler checkpoint show web/20261126-203315123 -o yaml",
		Annotations:       exits("0  shown", "1  error, or an IMAGE that does not exist"),
		Args:              oneImage,
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			image, err := a.image(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.showImage(cmd.Context(), image.Ref(), format.word)
		},
	}
	format = outputFlag(cmd, "text", "json", "yaml")
	return cmd
}

func oneImage(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(cmd, fmt.Errorf("%s needs one image", cmd.Name()))
	}
	return nil
}

func (a *app) showImage(ctx context.Context, ref, format string) error {
	d, err := a.client().Image(ctx, ref)
	if err != nil {
		return err
	}
	if format != "text" {
		return a.encode(format, d)
	}
	a.field("Image", d.Ref())
	a.field("Taken", fmt.Sprintf("%s ago, at %s", age(d.CreatedAt), d.CreatedAt.Local().Format("2006-01-02 15:04:05")))
	a.field("Cause", d.Cause)
	a.field("Set", d.Set)
	a.field("Run", fmt.Sprintf("start %d of instance %d", d.Starts, d.Instance))
	a.field("Size", fmt.Sprintf("%s on disk, %s of memory", sizeText(float64(d.Bytes)), sizeText(float64(d.Memory))))
	a.field("Packed", string(d.Compression))
	a.field("Frozen", fmt.Sprintf("%s of %s", quick(d.Frozen), quick(d.Took)))
	a.field("Made with", madeWith(d.Image))
	note := imageNote(d.Image)
	if note.text != "" {
		fmt.Fprintf(a.out, "%-14s %s\n", "Note:", a.out.paint(note.colour, cleanLine(note.text)))
	}
	a.describeSpec(d.Spec.Spec)
	a.showProcesses(d.Processes)
	a.showMounts(d.Mounts)
	a.showFiles(d.Files)
	return nil
}

func madeWith(i spec.Image) string {
	var parts []string
	for _, p := range []struct{ what, value string }{{"criu", i.CRIU}, {"Linux", i.Kernel}, {"on", i.Arch}} {
		if p.value != "" {
			parts = append(parts, p.what+" "+p.value)
		}
	}
	return strings.Join(parts, ", ")
}

// part begins a table below a title.
func (a *app) part(title string, header ...string) *table {
	fmt.Fprintf(a.out, "%s\n", a.out.bold(title))
	t := newTable(header...)
	t.indent = "  "
	return t
}

func (a *app) showProcesses(processes []spec.ImageProcess) {
	if len(processes) == 0 {
		return
	}
	t := a.part("Processes:", "PID", "PPID", "THREADS", "MEMORY", "STATE", "NAME")
	for _, p := range processes {
		t.add(cell{text: fmt.Sprint(p.Pid)}, cell{text: dash(p.Parent)}, cell{text: dash(p.Threads)}, cell{text: sizeText(float64(p.Memory))},
			cell{text: orDash(p.State)}, cell{text: p.Comm})
	}
	t.draw(a.out)
}

func (a *app) showMounts(mounts []spec.ImageMount) {
	if len(mounts) == 0 {
		return
	}
	t := a.part("Mounts:", "DESTINATION", "TYPE", "FROM")
	for _, m := range mounts {
		from := "image"
		if m.FromManifest {
			from = "manifest"
		}
		t.add(cell{text: m.Destination}, cell{text: orDash(m.Type)}, cell{text: from})
	}
	t.draw(a.out)
}

func (a *app) showFiles(files []spec.ImageFile) {
	if len(files) == 0 {
		return
	}
	t := a.part("Files:", "NAME", "SIZE")
	for _, f := range files {
		t.add(cell{text: f.Name}, cell{text: sizeText(float64(f.Bytes))})
	}
	t.draw(a.out)
}
