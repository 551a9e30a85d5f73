package source_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/signature"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const configManifest = `apiVersion: reconciler/v1alpha1
kind: Config
metadata: {name: conf}
spec:
  files:
    cert.pem: {fromFile: ./cert.pem}
---
` + manifest

// write renames a file into place.
func (f *folder) write(name, text string) {
	f.Helper()
	f.must(os.WriteFile(f.at(".new"), []byte(text), 0o644))
	f.must(os.Rename(f.at(".new"), f.at(name)))
}

// cert is what the config of a snapshot of one file has for cert.pem, or what is wrong.
func cert(s reconcile.Snapshot) string {
	for _, d := range s.Files[0].Documents {
		if d.Config != nil {
			return string(d.Contents.Files["cert.pem"])
		}
	}
	return s.Files[0].Problems.Error()
}

// A file beside a manifest is read with it, and its change is one of the manifest.
func TestBeside(t *testing.T) {
	f := open(t)
	hints := f.dir.Hints(t.Context())
	f.write("conf.yaml", fmt.Sprintf(configManifest, "web"))
	if got := cert(f.settled()); !strings.Contains(got, "./cert.pem cannot be read: no such file") {
		t.Fatalf("got %q", got)
	}
	f.write("cert.pem", "one")
	hinted(t, hints, "a file beside")
	first := f.settled()
	if got := cert(first); got != "one" || len(first.Files[0].Documents) != 2 {
		t.Fatalf("got %q", got)
	}
	time.Sleep(100 * time.Millisecond) // no change hides behind the one before
	if again := f.settled(); again.Files[0] != first.Files[0] || again.Hash != first.Hash {
		t.Error("unchanged files are other objects")
	}
	f.must(os.WriteFile(f.at("cert.pem"), []byte("two"), 0o644))
	second := f.settled()
	if got := cert(second); got != "two" || second.Files[0] == first.Files[0] || second.Hash == first.Hash {
		t.Errorf("got %q", got)
	}
	f.must(os.Remove(f.at("cert.pem")))
	if got := cert(f.settled()); !strings.Contains(got, "no such file") {
		t.Errorf("got %q", got)
	}
}

// What somebody is still writing does not count.
func TestBesideWriter(t *testing.T) {
	f := open(t)
	f.write("cert.pem", "one")
	f.write("conf.yaml", fmt.Sprintf(configManifest, "web"))
	f.settled()
	w, err := os.OpenFile(f.at("cert.pem"), os.O_WRONLY|os.O_TRUNC, 0)
	f.must(err)
	_, err = w.WriteString("tw")
	f.must(err)
	if s := f.scan(); cert(s) != "one" || !s.Unsettled {
		t.Errorf("got %q", cert(s))
	}
	_, err = w.WriteString("o")
	f.must(err, w.Close())
	if got := cert(f.settled()); got != "two" {
		t.Errorf("got %q", got)
	}
}

// A file beside a manifest is refused like a manifest, and takes no other document along.
func TestBesideRefuses(t *testing.T) {
	f := open(t)
	f.write("conf.yaml", fmt.Sprintf(configManifest, "web"))
	at := f.at("cert.pem")
	for name, bad := range map[string]struct {
		do  func() error
		why string
	}{
		"a link out":         {func() error { return os.Symlink("/etc/passwd", at) }, "leads out of the directory"},
		"a fifo":             {func() error { return unix.Mkfifo(at, 0o644) }, "no regular file"},
		"a folder":           {func() error { return os.Mkdir(at, 0o755) }, "no regular file"},
		"writable by others": {func() error { return errors.Join(os.WriteFile(at, nil, 0o644), os.Chmod(at, 0o666)) }, "can be written by others"},
		"too large":          {func() error { return os.WriteFile(at, bytes.Repeat([]byte("x"), spec.MaxConfig), 0o644) }, "more than 1048576"},
	} {
		f.must(bad.do())
		s := f.settled()
		if got := cert(s); !strings.Contains(s.Files[0].Problems.Error(), bad.why) || len(s.Files[0].Documents) != 1 {
			t.Errorf("%s: got %q, %v", name, got, s.Files[0].Problems)
		}
		f.must(os.RemoveAll(at))
	}
	if os.Geteuid() == 0 {
		f.must(os.WriteFile(at, nil, 0o644), os.Chown(at, 1234, 0))
		if got := f.settled().Files[0].Problems.Error(); !strings.Contains(got, "belongs to user 1234") {
			t.Errorf("got %q", got)
		}
	}
}

// Where manifests need signatures, a file beside one needs its own.
func TestBesideSigned(t *testing.T) {
	f := open(t)
	public, private, err := ed25519.GenerateKey(nil)
	f.must(err)
	signers, err := signature.ParseSigners("a", fmt.Appendf(nil, "ops ssh-ed25519 %s\n", base64.StdEncoding.EncodeToString([]byte(texts("", "ssh-ed25519", string(public))))))
	f.must(err)
	f.dir, err = source.New(f.path, source.Options{Signers: signers})
	f.must(err)
	text := fmt.Sprintf(configManifest, "web")
	f.write("cert.pem", "one")
	f.write("conf.yaml.sig", string(sign(private, text)))
	f.write("conf.yaml", text)
	s := f.settled()
	if p := s.Files[0].Problems; len(p) != 1 || p[0].Reason != spec.ReasonSignatureInvalid || !strings.Contains(p[0].Error(), "it has no signature cert.pem.sig\nhint: ssh-keygen -Y sign") {
		t.Fatalf("got %+v", p)
	}
	f.write("cert.pem.sig", string(sign(private, "one")))
	if got := cert(f.settled()); got != "one" {
		t.Errorf("got %q", got)
	}
	f.write("cert.pem", "two")
	if got := f.settled().Files[0].Problems.Error(); !strings.Contains(got, "cert.pem cannot be read") {
		t.Errorf("got %q", got)
	}
}
