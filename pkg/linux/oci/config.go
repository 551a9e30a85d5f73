package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/start"
)

// ConfigFile is the configuration in a bundle.
const ConfigFile = "config.json"

// maxConfig bounds a configuration: one of 10,000 mounts takes less.
const maxConfig = 8 << 20

// ReadConfig reads the configuration of a bundle and gives its text as well. Properties that the specification does not know are passed over, as it demands.
func ReadConfig(bundle string) (*specs.Spec, []byte, error) {
	path := filepath.Join(bundle, ConfigFile)
	text, err := readFile(path, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("JSON specification file %s not found: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, nil, err
	}
	config, err := ParseConfig(text)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot use %s: %w", path, err)
	}
	return config, text, nil
}

// ParseConfig reads the text of a configuration.
func ParseConfig(text []byte) (*specs.Spec, error) {
	config := &specs.Spec{}
	if err := parse(text, config); err != nil {
		return nil, err
	}
	return config, checkVersion(config.Version)
}

// ReadProcess reads a process in the words of a configuration.
func ReadProcess(path string) (*specs.Process, error) {
	text, err := readPiped(path, maxConfig)
	if err != nil {
		return nil, err
	}
	p := &specs.Process{}
	if err := parse(text, p); err != nil {
		return nil, fmt.Errorf("cannot use process %s: %w", path, err)
	}
	return p, nil
}

// parse decodes JSON that holds no text with a NUL: the kernel would take what is before it.
func parse(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%w: %w", err, fs.ErrInvalid)
	}
	if at := start.FindNUL(into); at != "" {
		return fmt.Errorf("the text %q holds a NUL: %w", at, fs.ErrInvalid)
	}
	return nil
}

// checkVersion takes every 1.x: what a minor version adds may be passed over (spec.md, "Specification version").
func checkVersion(version string) error {
	major, rest, ok := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	switch {
	case version == "":
		return fmt.Errorf("ociVersion is missing: %w", fs.ErrInvalid)
	case !ok || err != nil || rest == "":
		return fmt.Errorf("ociVersion %q is no version: %w", version, fs.ErrInvalid)
	case n != specs.VersionMajor:
		return fmt.Errorf("ociVersion %s is not supported, only %d.x is: %w", version, specs.VersionMajor, errors.ErrUnsupported)
	}
	return nil
}

// readFile reads a regular file, whole, up to a size. Whoever fills a FIFO could take as long as he likes, while others wait for the container.
func readFile(path string, limit int64) ([]byte, error) {
	return read(path, limit, fs.FileMode.IsRegular)
}

// readPiped is readFile of what can be a pipe as well: a shell's <(command).
func readPiped(path string, limit int64) ([]byte, error) {
	return read(path, limit, func(mode fs.FileMode) bool { return mode.IsRegular() || mode&fs.ModeNamedPipe != 0 })
}

func read(path string, limit int64, isFit func(fs.FileMode) bool) ([]byte, error) {
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !isFit(info.Mode()) {
		return nil, fmt.Errorf("%s is no regular file: %w", f.Name(), fs.ErrInvalid)
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes: %w", f.Name(), limit, fs.ErrInvalid)
	}
	return text, err
}
