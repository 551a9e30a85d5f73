package ocicmd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// imaging are the flags that checkpoint and restore have both.
type imaging struct {
	imagePath, workPath, cgroupsMode, networkLock *string
	emptyNS                                       *[]string
	established, closed, unixSockets, shellJob    *bool
	fileLocks, autoDedup, lazy                    *bool
}

func (f *flags) imaging() imaging {
	return imaging{
		imagePath:   f.text("image-path", "DIR", "checkpoint", "directory of the image (default checkpoint in the working directory)"),
		workPath:    f.text("work-path", "DIR", "", "directory for the log and the statistics (default the image's)"),
		established: f.yes("tcp-established", "open TCP connections go on; without it, one is an error"),
		closed:      f.yes("tcp-close", "open TCP connections are closed when the container is restored"),
		unixSockets: f.yes("ext-unix-sk", "unix sockets may be connected to ones outside, and are not any more"),
		shellJob:    f.yes("shell-job", "a terminal may come from outside"),
		fileLocks:   f.yes("file-locks", "file locks are kept; without it, one is an error"),
		autoDedup:   f.yes("auto-dedup", "memory is given back to the file system that a later image has, or a process"),
		lazy:        f.yes("lazy-pages", "memory follows when it is touched; needs a criu lazy-pages in the work directory"),
		emptyNS:     f.list("empty-ns", "KIND", "network, which is so: what is in a network of its own is the engine's"),
		cgroupsMode: f.text("manage-cgroups-mode", "MODE", "", "soft (default) or ignore: the cgroup and its limits are the configuration's"),
		networkLock: f.text("network-lock", "WAY", "", "how packets are kept out meanwhile: nftables (default), iptables or skip"),
	}
}

// options are criu's, as far as both verbs have them.
func (i imaging) options(debug bool) (o criu.Options, err error) {
	for _, kind := range *i.emptyNS {
		if kind != "network" {
			return o, fmt.Errorf("namespace %q is not supported: what is in others than network is part of the image", kind)
		}
	}
	switch *i.cgroupsMode {
	case "", "soft", "ignore":
	case "full", "strict":
		return o, fmt.Errorf("manage-cgroups-mode %s is not supported: the cgroup and its limits are the configuration's: %w", *i.cgroupsMode, errors.ErrUnsupported)
	default:
		return o, fmt.Errorf("invalid manage-cgroups-mode %q, want soft or ignore", *i.cgroupsMode)
	}
	switch lock := criu.NetworkLock(*i.networkLock); lock {
	case "", criu.NFTables, criu.IPTables, criu.NoLock:
		o.NetworkLock = lock
	default:
		return o, fmt.Errorf("invalid network-lock %q, want nftables, iptables or skip", lock)
	}
	o.TCPEstablished, o.TCPClose, o.UnixExternal, o.ShellJob = *i.established, *i.closed, *i.unixSockets, *i.shellJob
	o.FileLocks, o.AutoDedup, o.LazyPages = *i.fileLocks, *i.autoDedup, *i.lazy
	o.EmptyNetwork, o.OrphanPTSMaster = true, true
	if debug {
		o.LogLevel = 4
	}
	return o, nil
}

// open opens the two directories. They are made where there are none: that of the image only if it is to be written.
func (i imaging) open(o *criu.Options, writes bool) (err error) {
	if writes {
		if err := os.MkdirAll(*i.imagePath, 0o700); err != nil {
			return err
		}
	}
	if o.ImagesDir, err = openDir(*i.imagePath); err != nil || *i.workPath == "" {
		return err
	}
	if err := os.Mkdir(*i.workPath, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	o.WorkDir, err = openDir(*i.workPath)
	return err
}

func openDir(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// closeDirs closes what open opened.
func closeDirs(o criu.Options) {
	for _, f := range []*os.File{o.ImagesDir, o.WorkDir} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// tool is the criu to be used.
func (c *command) tool() (tool criu.Tool, err error) {
	path := c.criu
	if path != "" {
		if path, err = filepath.Abs(path); err != nil {
			return tool, err
		}
	}
	return criu.Look(path)
}

// pageServer reads ADDRESS:PORT.
func pageServer(text string) (p criu.PageServer, err error) {
	if text == "" {
		return p, nil
	}
	address, port, err := net.SplitHostPort(text)
	if err == nil {
		p.Address = address
		p.Port, err = strconv.Atoi(port)
	}
	if err != nil || address == "" || p.Port < 1 || p.Port > 65535 {
		return p, fmt.Errorf("invalid page-server %q, want ADDRESS:PORT", text)
	}
	return p, nil
}

// parentPath checks the path of an older image, from the image's directory.
func parentPath(image, parent string) error {
	if parent == "" {
		return nil
	}
	if filepath.IsAbs(parent) {
		return errors.New("--parent-path must be relative to the image's directory")
	}
	info, err := os.Stat(filepath.Join(image, parent))
	if err == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		return fmt.Errorf("invalid --parent-path: %w", err)
	}
	return nil
}
