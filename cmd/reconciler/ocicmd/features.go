package ocicmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

func (c *command) features(f *flags, args []string) (int, error) {
	if _, err := f.parse(args, 0, 0); err != nil {
		return 1, err
	}
	b := c.build()
	return 0, c.printJSON(oci.Features(map[string]string{"dev.reconciler.version": b.Version, "dev.reconciler.commit": b.Commit}), "    ")
}

func (c *command) printJSON(value any, indent string) error {
	text, err := json.MarshalIndent(value, "", indent)
	if err == nil {
		_, err = fmt.Fprintf(c.out, "%s\n", text)
	}
	return err
}

func (c *command) spec(f *flags, args []string) (int, error) {
	bundle := f.text("bundle,b", "DIR", ".", "directory that gets config.json (default the working directory)")
	rootless := f.yes("rootless", "is refused: containers here belong to root")
	if _, err := f.parse(args, 0, 0); err != nil {
		return 1, err
	}
	if *rootless {
		return 1, errors.New("a configuration for other users than root cannot be made: containers here belong to root")
	}
	path := filepath.Join(*bundle, oci.ConfigFile)
	text, err := json.MarshalIndent(oci.Example(), "", "\t")
	if err != nil {
		return 1, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return 1, fmt.Errorf("file %s exists: remove it first", path)
	}
	if err != nil {
		return 1, err
	}
	_, err = file.Write(append(text, '\n'))
	return 0, errors.Join(err, file.Close())
}
