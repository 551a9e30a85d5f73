package linux

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

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

// replaceFiles puts the files of a config in place of those in a directory. Nothing in it is believed: a container with all privileges may have written there.
func replaceFiles(root *os.Root, p spec.Projection, uid, gid int) error {
	version := versionOf(p)
	before, _ := root.Readlink(configData)
	if before != version {
		if err := writeVersion(root, version, p, uid, gid); err != nil {
			return err
		}
		if err := relink(root, version, configData); err != nil {
			return err
		}
	}
	for name := range p.Files {
		if target := configData + "/" + name; target != readlink(root, name) {
			if err := relink(root, target, name); err != nil {
				return err
			}
		}
	}
	return dropStale(root, p, version, before)
}

// versionOf is the name of the directory of a version: of what is in it, and how.
func versionOf(p spec.Projection) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %o", p.Hash, p.Mode))
	return ".." + hex.EncodeToString(sum[:8])
}

// writeVersion makes a version's directory, whole or not at all.
func writeVersion(root *os.Root, version string, p spec.Projection, uid, gid int) error {
	if info, err := root.Lstat(version); err == nil && info.IsDir() {
		return nil // the one before, which was renamed when it was whole
	}
	if err := errors.Join(root.RemoveAll(version), root.RemoveAll(configNew), root.Mkdir(configNew, 0o755)); err != nil {
		return err
	}
	for name, data := range p.Files {
		if err := writeFile(root, configNew+"/"+name, data, fs.FileMode(p.Mode), uid, gid); err != nil {
			return err
		}
	}
	if err := errors.Join(root.Chmod(configNew, 0o755), chown(root, configNew, uid, gid)); err != nil {
		return err
	}
	return root.Rename(configNew, version)
}

func writeFile(root *os.Root, path string, data []byte, mode fs.FileMode, uid, gid int) error {
	f, err := root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && uid+gid != 0 {
		err = f.Chown(uid, gid)
	}
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// chown gives something to the superuser of a user namespace; what is the node's already is left alone.
func chown(root *os.Root, path string, uid, gid int) error {
	if uid+gid == 0 {
		return nil
	}
	return root.Lchown(path, uid, gid)
}

func readlink(root *os.Root, name string) string {
	target, _ := root.Readlink(name)
	return target
}

// relink makes a link in place of whatever has its name.
func relink(root *os.Root, target, name string) error {
	if err := errors.Join(root.RemoveAll(configNew), root.Symlink(target, configNew)); err != nil {
		return err
	}
	if info, err := root.Lstat(name); err == nil && info.IsDir() {
		if err := root.RemoveAll(name); err != nil {
			return err
		}
	}
	return root.Rename(configNew, name)
}

// dropStale removes what belongs neither to a version nor to the one before.
func dropStale(root *os.Root, p spec.Projection, version, before string) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		name := entry.Name()
		_, isFile := p.Files[name]
		if isFile || name == configData || name == version || name == before && strings.HasPrefix(name, "..") {
			continue
		}
		errs = append(errs, root.RemoveAll(name))
	}
	return errors.Join(errs...)
}
