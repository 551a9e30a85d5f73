package linux

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The files of a config are links to those of a version, by way of a link to that, which is replaced by one rename(2), as the kubelet does:
//
//	app.conf -> ..data/app.conf      ..data -> ..0123abcd      ..0123abcd/app.conf
//
// Programs know it from there: who watches for changes watches ..data. The version before stays until the next one comes: who has followed ..data
// to it, and not opened the file yet, still finds it.
const (
	configData = "..data"
	configNew  = "..new"
)

// configDir is a directory of the files of a config, and who owns what is made in it. What is in it goes by bare names beside its descriptor, and no link is
// followed: a container with all privileges may have written there.
type configDir struct {
	*os.File
	uid, gid int
}

func openConfigDir(path string, uid, gid int) (configDir, error) {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	return configDir{f, uid, gid}, err
}

// replace puts the files of a config in place of those in the directory.
func (d configDir) replace(p spec.Projection) error {
	version, before := versionOf(p), d.readlink(configData)
	if before != version {
		if err := d.writeVersion(version, p); err != nil {
			return err
		}
		if err := d.link(version, configData); err != nil {
			return err
		}
	}
	for name := range p.Files {
		if target := configData + "/" + name; target != d.readlink(name) {
			if err := d.link(target, name); err != nil {
				return err
			}
		}
	}
	return d.dropStale(p, version, before)
}

// versionOf is the name of the directory of a version: of what is in it, and how.
func versionOf(p spec.Projection) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %o", p.Hash, p.Mode))
	return ".." + hex.EncodeToString(sum[:8])
}

// writeVersion makes a version's directory, whole or not at all.
func (d configDir) writeVersion(version string, p spec.Projection) error {
	if d.hasDir(version) {
		return nil // the one before, which was renamed when it was whole
	}
	err := errors.Join(d.remove(version), d.remove(configNew), d.about("mkdir", configNew, unix.Mkdirat(d.fd(), configNew, 0o700)))
	if err != nil {
		return err
	}
	made, err := d.open(configNew, unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer made.Close()
	for name, data := range p.Files {
		if err := made.write(name, data, fs.FileMode(p.Mode)); err != nil {
			return err
		}
	}
	if err := made.give(0o755); err != nil {
		return err
	}
	return d.rename(configNew, version)
}

// write makes a file.
func (d configDir) write(name string, data []byte, mode fs.FileMode) error {
	f, err := d.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.give(mode), f.Close())
}

// give says who owns the file or directory itself, and its mode. What is the node's already is left alone.
func (d configDir) give(mode fs.FileMode) error {
	var err error
	if d.uid+d.gid != 0 {
		err = d.Chown(d.uid, d.gid)
	}
	return errors.Join(err, d.Chmod(mode))
}

// link makes a link in place of whatever has its name.
func (d configDir) link(target, name string) error {
	if err := errors.Join(d.remove(configNew), d.about("symlink", configNew, unix.Symlinkat(target, d.fd(), configNew))); err != nil {
		return err
	}
	if d.hasDir(name) {
		if err := d.remove(name); err != nil {
			return err
		}
	}
	return d.rename(configNew, name)
}

// dropStale removes what belongs neither to a version nor to the one before.
func (d configDir) dropStale(p spec.Projection, version, before string) error {
	names, err := d.Readdirnames(-1)
	errs := []error{err}
	for _, name := range names {
		_, isFile := p.Files[name]
		if isFile || name == configData || name == version || name == before && strings.HasPrefix(name, "..") {
			continue
		}
		errs = append(errs, d.remove(name))
	}
	return errors.Join(errs...)
}

func (d configDir) fd() int { return int(d.Fd()) }

// about is the error of something done to a name, nil if it is none.
func (d configDir) about(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: d.Name() + "/" + name, Err: err}
}

// open opens or makes what has a name.
func (d configDir) open(name string, flags int, mode uint64) (configDir, error) {
	fd, err := unix.Openat2(d.fd(), name, &unix.OpenHow{
		Flags: uint64(flags | unix.O_CLOEXEC), Mode: mode, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return configDir{}, d.about("open", name, err)
	}
	return configDir{os.NewFile(uintptr(fd), d.Name()+"/"+name), d.uid, d.gid}, nil
}

func (d configDir) hasDir(name string) bool {
	var stat unix.Stat_t
	return unix.Fstatat(d.fd(), name, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR
}

// readlink is where a link leads, "" for what is none.
func (d configDir) readlink(name string) string {
	target := make([]byte, unix.PathMax)
	n, _ := unix.Readlinkat(d.fd(), name, target)
	return string(target[:max(n, 0)])
}

func (d configDir) rename(from, to string) error {
	return d.about("rename", to, unix.Renameat(d.fd(), from, d.fd(), to))
}

// remove removes what has a name, and all in it; nothing there is no error.
func (d configDir) remove(name string) error {
	return os.RemoveAll(fmt.Sprintf("/proc/self/fd/%d/%s", d.fd(), name)) // which goes on by descriptors and unlinkat(2)
}
