package source

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/signature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// signatureOf is what a manifest's signature is called after it.
const signatureOf = ".sig"

// maxSignature bounds what is read of a signature: one byte more than it may have.
const maxSignature = signature.MaxSize + 1

// signed is the signature of a manifest as it was read with it. The zero value is none.
type signed struct {
	status status
	text   []byte
	err    error
}

// signatureStatus is what tells that a manifest's signature did not change; zero when there is none, or nobody asks for one.
func (d *Dir) signatureStatus(dir int, name string) status {
	var st unix.Stat_t
	if d.options.Signers == nil || unix.Fstatat(dir, name+signatureOf, &st, 0) != nil {
		return status{}
	}
	return statusOf(&st)
}

// signatureFor reads the signature of a manifest, after the manifest. What was read before it changed is read again.
func (d *Dir) signatureFor(dir int, name string) (s signed) {
	if d.options.Signers == nil {
		return s
	}
	s.status = d.signatureStatus(dir, name)
	s.text, s.err = d.small(dir, name+signatureOf, maxSignature)
	switch {
	case errors.Is(s.err, fs.ErrNotExist) || errors.Is(s.err, unix.ENOENT):
		s.err = errors.New("it has no signature " + name + signatureOf)
	case s.err != nil:
		s.err = fmt.Errorf("cannot read its signature %s: %w", name+signatureOf, s.err)
	}
	return s
}

// check says why a manifest is not what a signer has signed.
func (d *Dir) check(data []byte, s signed, now time.Time) error {
	switch {
	case d.options.Signers == nil:
		return nil
	case s.err != nil:
		return s.err
	}
	return d.options.Signers.Verify(data, s.text, now)
}

// sumOf is the hash of a manifest and its signature: when either changes, both are looked at again.
func sumOf(data []byte, s signed) [sha256.Size]byte {
	if len(s.text) == 0 {
		return sha256.Sum256(data)
	}
	h := sha256.New()
	h.Write(data)
	h.Write([]byte{0}) // which is in no manifest
	h.Write(s.text)
	return [sha256.Size]byte(h.Sum(nil))
}

// unsigned is a manifest that nobody who may has signed as it is.
func (d *Dir) unsigned(name string, err error) *reconcile.File {
	path := filepath.Join(d.path, name)
	return &reconcile.File{Path: path, Problems: spec.Problems{{
		File: path, Line: 1, Column: 1, Message: err.Error(), Reason: spec.ReasonSignatureInvalid,
		Hint: signHint(path),
	}}}
}

// signHint is the command that signs a file.
func signHint(path string) string {
	return fmt.Sprintf("ssh-keygen -Y sign -n %s -f KEY %s", signature.Namespace, path)
}
