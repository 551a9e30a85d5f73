package signature

import (
	"bytes"
	"crypto"
	_ "crypto/sha256" // the hashes of rsaHashes and messageHashes
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
)

const (
	magic   = "SSHSIG"
	version = 1
	begin   = "-----BEGIN SSH SIGNATURE-----"
	end     = "-----END SSH SIGNATURE-----"

	// MaxSize bounds a signature file, in bytes: that of the largest RSA key takes a third of it.
	MaxSize = 16 << 10
)

// messageHashes are those of the signed text.
var messageHashes = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha512": crypto.SHA512}

// signature is a parsed signature. Nothing of it is to be believed before it is verified.
type signature struct {
	publicKey []byte
	key       key
	namespace string
	reserved  []byte
	hash      string
	form      string // the algorithm
	bytes     []byte
}

// parse reads an armoured signature, and nothing beside it but white space.
func parse(armoured []byte) (*signature, error) {
	if len(armoured) > MaxSize {
		return nil, fmt.Errorf("it has more than %d bytes", MaxSize)
	}
	text, ok := bytes.CutPrefix(bytes.TrimSpace(armoured), []byte(begin))
	if !ok {
		return nil, errors.New("it does not begin with " + begin)
	}
	text, ok = bytes.CutSuffix(text, []byte(end))
	if !ok {
		return nil, errors.New("it does not end with " + end)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(string(text)) // which skips line breaks
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	return parseBlob(blob)
}

func parseBlob(blob []byte) (*signature, error) {
	r := &reader{rest: blob}
	if head := r.take(uint64(len(magic))); string(head) != magic {
		return nil, errors.New("it is no SSH signature")
	}
	if v := r.uint32(); r.err == nil && v != version {
		return nil, fmt.Errorf("its version is %d, want %d", v, version)
	}
	s := &signature{publicKey: r.text(), namespace: string(r.text()), reserved: r.text(), hash: string(r.text())}
	inner := &reader{rest: r.text()}
	if err := r.end(); err != nil {
		return nil, err
	}
	s.form, s.bytes = string(inner.text()), inner.text()
	if err := inner.end(); err != nil {
		return nil, err
	}
	var err error
	s.key, err = parseKey(s.publicKey)
	return s, err
}

// verify tells whether the signature is one of a text.
func (s *signature) verify(text []byte) error {
	hash, ok := messageHashes[s.hash]
	if !ok {
		return fmt.Errorf("its hash %q is not supported", shorten(s.hash))
	}
	signed := appendText([]byte(magic), []byte(s.namespace))
	signed = appendText(signed, s.reserved)
	signed = appendText(signed, []byte(s.hash))
	return s.key.verify(s.form, appendText(signed, sum(hash, text)), s.bytes)
}
