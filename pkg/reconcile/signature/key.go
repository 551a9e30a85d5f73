package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
)

// Bounds of an RSA key, in bits: those of ssh-keygen(1), but for the least.
const (
	minRSA = 2048
	maxRSA = 16384
)

// key checks signatures of one public key. form is the algorithm that the signature names.
type key interface {
	verify(form string, message, signature []byte) error
}

var errForged = errors.New("it was made by another key, or of another text")

// kinds are the kinds of keys, with the rest of the public key after its kind.
var kinds = map[string]func(r *reader) (key, error){
	"ssh-ed25519":         ed25519Key,
	"ecdsa-sha2-nistp256": ecdsaKey("nistp256", elliptic.P256(), crypto.SHA256),
	"ecdsa-sha2-nistp384": ecdsaKey("nistp384", elliptic.P384(), crypto.SHA384),
	"ecdsa-sha2-nistp521": ecdsaKey("nistp521", elliptic.P521(), crypto.SHA512),
	"ssh-rsa":             rsaKey,
}

// parseKey reads a public key.
func parseKey(blob []byte) (key, error) {
	r := &reader{rest: blob}
	kind := string(r.text())
	if r.err != nil {
		return nil, r.err
	}
	parse, ok := kinds[kind]
	switch {
	case ok:
	case strings.HasPrefix(kind, "sk-"):
		return nil, fmt.Errorf("security keys (%q) are not supported", shorten(kind))
	case strings.Contains(kind, "-cert-"):
		return nil, fmt.Errorf("certificates (%q) are not supported", shorten(kind))
	default:
		return nil, fmt.Errorf("keys of kind %q are not supported", shorten(kind))
	}
	k, err := parse(r)
	if ended := r.end(); ended != nil {
		return nil, ended
	}
	return k, err
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

type edKey ed25519.PublicKey

func ed25519Key(r *reader) (key, error) {
	k := edKey(r.text())
	if len(k) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("it has %d bytes, want %d", len(k), ed25519.PublicKeySize)
	}
	return k, nil
}

func (k edKey) verify(form string, message, signature []byte) error {
	if form != "ssh-ed25519" {
		return otherForm(form)
	}
	if !ed25519.Verify(ed25519.PublicKey(k), message, signature) {
		return errForged
	}
	return nil
}

func otherForm(form string) error {
	return fmt.Errorf("its algorithm %q is none of its key's", shorten(form))
}

type ecKey struct {
	name string
	hash crypto.Hash
	key  *ecdsa.PublicKey
}

func ecdsaKey(name string, curve elliptic.Curve, hash crypto.Hash) func(r *reader) (key, error) {
	return func(r *reader) (key, error) {
		said, point := string(r.text()), r.text()
		if said != name {
			return nil, fmt.Errorf("its curve is %q, want %s", shorten(said), name)
		}
		k, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		return ecKey{"ecdsa-sha2-" + name, hash, k}, err
	}
}

func (k ecKey) verify(form string, message, signature []byte) error {
	if form != k.name {
		return otherForm(form)
	}
	r := &reader{rest: signature}
	x, y := r.number(), r.number()
	if err := r.end(); err != nil {
		return err
	}
	if !ecdsa.Verify(k.key, sum(k.hash, message), x, y) {
		return errForged
	}
	return nil
}

type rsKey struct{ key *rsa.PublicKey }

func rsaKey(r *reader) (key, error) {
	e, n := r.number(), r.number()
	switch {
	case r.err != nil:
		return nil, r.err
	case n.BitLen() < minRSA || n.BitLen() > maxRSA:
		return nil, fmt.Errorf("an RSA key of %d bits is not supported, but of %d to %d", n.BitLen(), minRSA, maxRSA)
	case !e.IsInt64() || e.BitLen() > 31 || e.Int64() < 3 || e.Bit(0) == 0:
		return nil, errors.New("the exponent of the RSA key is not supported")
	}
	return rsKey{&rsa.PublicKey{N: n, E: int(e.Int64())}}, nil
}

// rsaHashes are by the algorithm that a signature names; not ssh-rsa, which is SHA-1. See RFC 8332.
var rsaHashes = map[string]crypto.Hash{"rsa-sha2-256": crypto.SHA256, "rsa-sha2-512": crypto.SHA512}

func (k rsKey) verify(form string, message, signature []byte) error {
	hash, ok := rsaHashes[form]
	if !ok {
		return otherForm(form)
	}
	if rsa.VerifyPKCS1v15(k.key, hash, sum(hash, message), signature) != nil {
		return errForged
	}
	return nil
}

func sum(hash crypto.Hash, message []byte) []byte {
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}
