package signature_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/signature"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// signers is a list of one line: the options, and the key of testdata.
func signers(t testing.TB, options, key string) *signature.Signers {
	t.Helper()
	s, err := signature.ParseSigners("allowed", []byte("# who may\n\nops@example.com "+options+" "+string(read(t, key))))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Signatures that ssh-keygen has made hold, and only of the very text.
func TestVerify(t *testing.T) {
	text := read(t, "web.yaml")
	for _, c := range []struct{ key, sig string }{
		{"ed25519.pub", "ed25519.sig"},
		{"ecdsa256.pub", "ecdsa256.sig"},
		{"ecdsa384.pub", "ecdsa384.sig"},
		{"ecdsa521.pub", "ecdsa521.sig"},
		{"rsa2048.pub", "rsa2048.sig"},
		{"rsa2048.pub", "rsa2048-sha256.sig"},
	} {
		s, sig := signers(t, `namespaces="git,reconciler"`, c.key), read(t, c.sig)
		if err := s.Verify(text, sig, time.Now()); err != nil {
			t.Errorf("%s: %v", c.sig, err)
		}
		if err := s.Verify(append(bytes.Clone(text), '\n'), sig, time.Now()); err == nil || !strings.Contains(err.Error(), "another text") {
			t.Errorf("%s, of another text: %v", c.sig, err)
		}
	}
}

// change alters the blob of a signature.
func change(t testing.TB, sig []byte, do func(blob []byte) []byte) []byte {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(sig)), "\n")
	blob, err := base64.StdEncoding.DecodeString(strings.Join(lines[1:len(lines)-1], ""))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, "%s\n%s\n%s\n", lines[0], base64.StdEncoding.EncodeToString(do(blob)), lines[len(lines)-1])
}

// What somebody else has made of a signature is refused, with a reason.
func TestHostile(t *testing.T) {
	text, good := read(t, "web.yaml"), read(t, "ed25519.sig")
	allowed := signers(t, "", "ed25519.pub")
	replace := func(old, new string) []byte {
		return change(t, good, func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("no %q", old)
			}
			return bytes.Replace(b, []byte(old), []byte(new), 1)
		})
	}
	huge := binary.BigEndian.AppendUint32(nil, 1<<32-1)
	cases := map[string]struct {
		sig  []byte
		want string
	}{
		"nothing":             {nil, "does not begin with"},
		"no end":              {good[:len(good)-20], "does not end with"},
		"text before":         {append([]byte("x"), good...), "does not begin with"},
		"text after":          {append(bytes.Clone(good), 'x'), "does not end with"},
		"two":                 {append(bytes.Clone(good), good...), "not base64"},
		"much":                {append(bytes.Clone(good), make([]byte, 20_000)...), "more than 16384 bytes"},
		"no base64":           {bytes.Replace(good, []byte("U1NI"), []byte("!!!!"), 1), "not base64"},
		"another namespace":   {read(t, "other-namespace.sig"), `is for "file", not for "reconciler"`},
		"another key":         {read(t, "ecdsa256.sig"), "not among the allowed"},
		"another magic":       {replace("SSHSIG", "SSHSIh"), "no SSH signature"},
		"another version":     {replace("SSHSIG\x00\x00\x00\x01", "SSHSIG\x00\x00\x00\x02"), "version is 2"},
		"another hash":        {replace("sha512", "sha384"), `hash "sha384" is not supported`},
		"weaker hash said":    {replace("sha512", "sha256"), "another key, or of another text"},
		"security key":        {replace("\x00\x00\x00\x0bssh-ed25519", "\x00\x00\x00\x0bsk-ed25519x"), "security keys"},
		"certificate":         {replace("\x00\x00\x00\x0bssh-ed25519", "\x00\x00\x00\x0bssh-cert-v1"), "certificates"},
		"unknown key":         {replace("\x00\x00\x00\x0bssh-ed25519", "\x00\x00\x00\x0bssh-ed25510"), `kind "ssh-ed25510"`},
		"cut off":             {change(t, good, func(b []byte) []byte { return b[:len(b)-1] }), "cut off"},
		"trailing":            {change(t, good, func(b []byte) []byte { return append(b, 0) }), "follows its end"},
		"a huge length":       {change(t, good, func(b []byte) []byte { copy(b[10:], huge); return b }), "cut off"},
		"a huge inner length": {change(t, good, func(b []byte) []byte { copy(b[14:], huge); return b }), "cut off"},
		"a bit":               {change(t, good, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), "another key, or of another text"},
	}
	for name, c := range cases {
		if err := allowed.Verify(text, c.sig, time.Now()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	blob := len(change(t, good, func(b []byte) []byte { return b }))
	for n := range blob {
		cut := change(t, good, func(b []byte) []byte { return b[:min(n, len(b)-1)] })
		if allowed.Verify(text, cut, time.Now()) == nil {
			t.Errorf("the first %d bytes hold", n)
		}
	}
}

// An RSA signature with SHA-1, as ssh-rsa says, is none; nor is one with another algorithm than its key's.
func TestAlgorithms(t *testing.T) {
	text := read(t, "web.yaml")
	for _, c := range []struct{ sig, key, from, to string }{
		{"rsa2048.sig", "rsa2048.pub", "\x00\x00\x00\x0crsa-sha2-512", "\x00\x00\x00\x07ssh-rsa"},
		{"rsa2048.sig", "rsa2048.pub", "rsa-sha2-512", "rsa-sha2-256"},
		{"ed25519.sig", "ed25519.pub", "ssh-ed25519\x00\x00\x00\x40", "ssh-ed25518\x00\x00\x00\x40"},
	} {
		sig := change(t, read(t, c.sig), func(b []byte) []byte {
			at := bytes.LastIndex(b, []byte(c.from))
			if at < 0 {
				t.Fatalf("%s has no %q", c.sig, c.from)
			}
			b = append(append(bytes.Clone(b[:at]), c.to...), b[at+len(c.from):]...)
			if grown := len(c.to) - len(c.from); grown != 0 { // the length of both
				length := b[at-4 : at]
				binary.BigEndian.PutUint32(length, uint32(int(binary.BigEndian.Uint32(length))+grown))
			}
			return b
		})
		if err := signers(t, "", c.key).Verify(text, sig, time.Now()); err == nil {
			t.Errorf("%s with %q holds", c.sig, c.to)
		}
	}
}

func TestSigners(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	text, sig := read(t, "web.yaml"), read(t, "ed25519.sig")
	for options, want := range map[string]string{
		"":                               "",
		`namespaces="reconciler"`:        "",
		`namespaces="git, rec*"`:         "",
		`namespaces="re?onciler"`:        "",
		`namespaces="*,!reconciler"`:     "may sign for *,!reconciler only",
		`namespaces="git"`:               "signer ops@example.com may sign for git only",
		`namespaces="[a-z]*"`:            "may sign for",
		`valid-after="20260101"`:         "",
		`valid-after="20270101Z"`:        "counts from 2027-01-01T00:00:00Z on",
		`valid-before="202601011200Z"`:   "counted until 2026-01-01T12:00:00Z",
		`valid-before="20260701120001Z"`: "",
		`Valid-After="20260101",namespaces="reconciler",valid-before="20270101"`: "",
	} {
		err := signers(t, options, "ed25519.pub").Verify(text, sig, now)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", options, err, want)
		}
	}
	key := strings.TrimSpace(string(read(t, "ed25519.pub")))
	for text, want := range map[string]string{
		"# nobody\n":                            "a:1",
		"ops":                                   "a:1: no public key",
		"ops ssh-ed25519 !":                     "a:1: the public key is not base64",
		"ops ssh-rsa " + strings.Fields(key)[1]: `is of kind "ssh-ed25519", and "ssh-rsa" is said`,
		"x " + key + "\nops cert-authority " + key:                                "a:2: certificates are not supported",
		"ops sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t": "a:1: cannot use the public key: security keys",
		"ops wrong=\"1\" " + key:                                                  `unknown option "wrong"`,
		"ops namespaces " + key:                                                   "namespaces has no value",
		"ops namespaces=\"x " + key:                                               "a quote is left open",
		"ops valid-after=\"2026\" " + key:                                         `"2026" is no time`,
		"ops " + string(read(t, "small.pub")):                                     "an RSA key of 1024 bits is not supported",
	} {
		if text == "# nobody\n" {
			want = "a: nobody is in it"
		}
		if _, err := signature.ParseSigners("a", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// The ssh-keygen of this machine makes signatures that hold here.
func TestRealKeygen(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed: the signatures of testdata, which it made, have to do")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(keygen, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
		}
	}
	text := []byte("any text at all\n")
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		if err := os.WriteFile(filepath.Join(dir, kind+".yaml"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		run("-q", "-t", kind, "-N", "", "-f", kind)
		run("-q", "-Y", "sign", "-n", signature.Namespace, "-f", kind, kind+".yaml")
		public, err1 := os.ReadFile(filepath.Join(dir, kind+".pub"))
		sig, err2 := os.ReadFile(filepath.Join(dir, kind+".yaml.sig"))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		s, err := signature.ParseSigners("a", append([]byte(`ops@example.com namespaces="reconciler" `), public...))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(text, sig, time.Now()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// No signature makes the parser panic, and none but the very one of testdata holds.
func FuzzVerify(f *testing.F) {
	text := read(f, "web.yaml")
	for _, name := range []string{"ed25519.sig", "ecdsa256.sig", "rsa2048.sig", "other-namespace.sig"} {
		f.Add(read(f, name))
	}
	s := signers(f, "", "ed25519.pub")
	good := read(f, "ed25519.sig")
	f.Fuzz(func(t *testing.T, sig []byte) {
		plain := func(b []byte) string { return strings.Join(strings.Fields(string(b)), "") }
		if s.Verify(text, sig, time.Now()) == nil && plain(sig) != plain(good) {
			t.Errorf("%q holds", sig)
		}
	})
}

// No list of signers makes the parser panic.
func FuzzSigners(f *testing.F) {
	f.Add([]byte(`ops namespaces="a,b",valid-after="20260101Z" ` + string(read(f, "ed25519.pub"))))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = signature.ParseSigners("a", text) })
}
