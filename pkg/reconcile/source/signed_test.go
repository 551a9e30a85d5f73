package source_test

import (
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/signature"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// texts puts strings together as RFC 4251 has them.
func texts(head string, all ...string) string {
	b := []byte(head)
	for _, s := range all {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	return string(b)
}

// sign is what ssh-keygen -Y sign -n reconciler would write.
func sign(key ed25519.PrivateKey, text string) []byte {
	const magic = "SSHSIG"
	hash := sha512.Sum512([]byte(text))
	made := ed25519.Sign(key, []byte(texts(magic, signature.Namespace, "", "sha512", string(hash[:]))))
	blob := texts(magic+"\x00\x00\x00\x01", texts("", "ssh-ed25519", string(key.Public().(ed25519.PublicKey))), signature.Namespace, "", "sha512",
		texts("", "ssh-ed25519", string(made)))
	return fmt.Appendf(nil, "-----BEGIN SSH SIGNATURE-----\n%s\n-----END SSH SIGNATURE-----\n", base64.StdEncoding.EncodeToString([]byte(blob)))
}

// settled scans until nothing is being written.
func (f *folder) settled() (s reconcile.Snapshot) {
	f.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if s = f.scan(); !s.Unsettled {
			return s
		}
		if time.Since(began) > 10*time.Second {
			f.Fatal("it never settles")
		}
	}
}

// Where signatures are asked for, a manifest counts when one fits; what does not fit may be on its way, and is refused when it stays so.
func TestSigned(t *testing.T) {
	f := open(t)
	public, private, err := ed25519.GenerateKey(nil)
	f.must(err)
	_, stranger, err := ed25519.GenerateKey(nil)
	f.must(err)
	signers, err := signature.ParseSigners("a", fmt.Appendf(nil, "ops ssh-ed25519 %s\n", base64.StdEncoding.EncodeToString([]byte(texts("", "ssh-ed25519", string(public))))))
	f.must(err)
	dir, err := source.New(f.path, source.Options{Signers: signers})
	f.must(err)
	f.dir = dir
	hints := dir.Hints(t.Context())
	f.shows()

	one, two := fmt.Sprintf(manifest, "one"), fmt.Sprintf(manifest, "two")
	f.must(os.WriteFile(f.at("web.yaml"), []byte(one), 0o644))
	if s := f.scan(); !s.Unsettled {
		t.Error("a manifest whose signature may still come is settled")
	}
	if s := f.settled(); len(s.Files) != 1 || s.Files[0].Problems[0].Reason != spec.ReasonSignatureInvalid ||
		!strings.Contains(contents(s)[0], "it has no signature web.yaml.sig\nhint: ssh-keygen -Y sign -n reconciler -f KEY "+f.at("web.yaml")) {
		t.Errorf("%q", contents(s))
	}
	for len(hints) > 0 {
		<-hints
	}
	f.must(os.WriteFile(f.at("web.yaml.sig"), sign(private, one), 0o644))
	hinted(t, hints, "a signature")
	f.shows("one")
	time.Sleep(100 * time.Millisecond)
	if first, second := f.shows("one"), f.shows("one"); first.Files[0] != second.Files[0] || first.Unsettled {
		t.Error("a signed manifest does not stay the same")
	}

	f.must(os.WriteFile(f.at("web.yaml"), []byte(two), 0o644))
	if s := f.shows("one"); !s.Unsettled {
		t.Error("a new manifest with the old signature is settled")
	}
	f.must(os.WriteFile(f.at("web.yaml.sig"), sign(private, two), 0o644))
	if s := f.shows("two"); s.Unsettled {
		t.Error("a signed manifest is not settled")
	}

	good := reconcile.Admit(reconcile.Request{Snapshots: []reconcile.Snapshot{f.scan()}})
	for why, sig := range map[string][]byte{
		"its signer is not among the allowed ones":                            sign(stranger, two),
		"made by another key, or of another text":                             sign(private, one),
		"does not begin with":                                                 []byte("nothing"),
		"cannot read its signature web.yaml.sig: it can be written by others": nil,
	} {
		if sig == nil {
			f.must(os.WriteFile(f.at("web.yaml.sig"), sign(private, two), 0o644), os.Chmod(f.at("web.yaml.sig"), 0o666))
		} else {
			f.must(os.WriteFile(f.at("web.yaml.sig"), sig, 0o644))
		}
		s := f.settled()
		if got := contents(s); len(got) != 1 || !strings.Contains(got[0], why) {
			t.Errorf("%q, want %q", got, why)
		}
		after := reconcile.Admit(reconcile.Request{Snapshots: []reconcile.Snapshot{s}, Incumbents: good.Desired})
		if d := after.Desired["two"]; d == nil || d.Accepted.Reason != reconcile.ReasonSignatureInvalid || d.Accepted.Status != spec.False {
			t.Errorf("%s: %+v", why, d)
		}
		f.must(os.Remove(f.at("web.yaml.sig")), os.WriteFile(f.at("web.yaml.sig"), sign(private, two), 0o644))
		f.settled()
		f.shows("two")
	}
}
