package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newExport(a *app) *cobra.Command {
	var compress bool
	cmd := &cobra.Command{
		Use:   "export IMAGE FILE",
		Short: "Write an image into one archive",
		Long: `Write an image into one archive, a tar file that checkpointctl can read as well: to look at, to keep, or to import on
another node. IMAGE is NAME/ID, or NAME for its newest; FILE may be - for stdout.

An image holds all the memory of its processes, keys and passwords included: FILE is readable by you alone.`,
		Example: `  reconciler checkpoint export web web.tar.zst
  reconciler checkpoint export web - | ssh other reconciler checkpoint import -`,
		Args:              oneImageOneFile,
		ValidArgsFunction: a.completeImageAndFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			image, err := a.image(ctx, args[0])
			if err != nil {
				return err
			}
			return a.export(ctx, image.Ref(), args[1], compress || strings.HasSuffix(args[1], ".zst"))
		},
	}
	cmd.Flags().BoolVar(&compress, "compress", false, "compress it with zstd, as is done for a FILE.zst")
	return cmd
}

func oneImageOneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 2 {
		return usage(cmd, errors.New("export needs an image and a file"))
	}
	return nil
}

// interruptible ends with a signal, so that nothing half-made is left.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
}

func (a *app) export(ctx context.Context, ref, file string, compress bool) error {
	if file == "-" && a.out.terminal {
		return withHint(errors.New("an archive is nothing for a terminal"), "say a FILE, or pass it on: | ssh other reconciler checkpoint import -")
	}
	archive, err := a.client().ExportImage(ctx, ref, compress)
	if err != nil {
		return err
	}
	defer archive.Close()
	if file == "-" {
		_, err = io.Copy(a.out.Writer, archive)
	} else {
		err = writeWhole(file, archive)
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted: nothing is exported")
	case err != nil:
		return fmt.Errorf("cannot export %s to %s: %w", ref, file, err)
	case file != "-":
		fmt.Fprintf(a.out, "%s: exported to %s\n", ref, clean(file))
	}
	return nil
}

// writeWhole makes a file that is there when all of it is on the disk, for its owner alone. What is there and no regular file (a device, a pipe, a link) is written to.
func writeWhole(path string, from io.Reader) (err error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, from)
		return errors.Join(err, f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = io.Copy(f, from); err != nil {
		return err
	}
	if err = errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func newImport(a *app) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make an image of an archive",
		Long: `Make an image of an archive that export wrote here or on another node; FILE may be - for stdin. It is there when all of
it is and has been checked, or not at all, and is kept until you give it back to retention or remove it.

Nothing is started. What the container may do is said by its manifest alone, never by the archive: mounts,
devices, limits, capabilities. Still, its processes come as they are: import only what you would run.`,
		Example: `  reconciler checkpoint import web.tar.zst
  reconciler checkpoint import web.tar.zst --name web2
  reconciler restore web                  # or let the manifest say: checkpoint: {restoreOnStart: Latest}`,
		Args: oneFile,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			return a.importImage(ctx, args[0], name)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the container it is for; default: the one it was taken of")
	return cmd
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(cmd, fmt.Errorf("%s needs one file", cmd.Name()))
	}
	return nil
}

func (a *app) importImage(ctx context.Context, file, name string) error {
	from := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", file, errors.Unwrap(err))
		}
		defer f.Close()
		from = f
	}
	if f, ok := from.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return withHint(errors.New("an archive does not come from a terminal"), "say a FILE, or pass one on: ssh other reconciler checkpoint export web - |")
	}
	image, err := a.client().ImportImage(ctx, from, name)
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted: nothing is imported")
	case err != nil:
		return err
	}
	fmt.Fprintf(a.out, "%s: %s imported, kept until `reconciler checkpoint keep --off`\n", clean(image.Ref()), sizeText(float64(image.Bytes)))
	return nil
}
