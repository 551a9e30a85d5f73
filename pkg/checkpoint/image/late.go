package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// maxLate bounds a file that is added later.
const maxLate = 4 << 20

// addLate adds a file to an image and its record.
func addLate(image folder, r *record, name string, text []byte) error {
	if !isLate(name) || len(text) > maxLate {
		return fmt.Errorf("%s with %d bytes cannot be added: %w", name, len(text), fs.ErrInvalid)
	}
	at, found := slices.BinarySearchFunc(r.Files, name, func(f file, n string) int { return strings.Compare(f.Path, n) })
	if found {
		return fmt.Errorf("%s is there: %w", name, fs.ErrExist)
	}
	if err := image.unlink(name); err != nil { // what an earlier attempt has left
		return err
	}
	if err := image.write(name, text); err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	r.Files = slices.Insert(r.Files, at, file{Path: name, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])})
	return nil
}
