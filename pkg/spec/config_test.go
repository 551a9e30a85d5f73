package spec_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const webConf = `apiVersion: reconciler/v1alpha1
kind: Config
metadata: {name: web-conf}
spec:
  env: {LOG: info}
  files:
    app.conf: {text: "listen 8080\n"}
    cert.pem: {fromFile: ./cert.pem}
    blob: {base64: "AAEC"}
    .hidden: {text: ""}
`

func beside(files map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such file\nhint: make one")
	}
}

// A config is a document of its own; what is beside the manifest comes by whoever reads that.
func TestConfig(t *testing.T) {
	documents, problems := spec.Decode("m", []byte(minimal+"---\n"+webConf))
	if problems != nil || len(documents) != 2 || documents[0].Config != nil || documents[1].Name() != "web-conf" || documents[1].Line != 8 {
		t.Fatalf("got %+v, %v", documents, problems)
	}
	d := documents[1]
	if got := d.Beside(); !reflect.DeepEqual(got, []string{"cert.pem"}) {
		t.Errorf("beside are %v", got)
	}
	problems = d.Fill(beside(nil))
	for i := range problems {
		problems[i].File = "m"
	}
	if got := problems.Error(); got != "m:15:26: spec.files.cert.pem: ./cert.pem cannot be read: no such file\nhint: make one" {
		t.Errorf("got %s", got)
	}
	if problems[0].Kind != spec.KindConfig || problems[0].Name != "web-conf" {
		t.Errorf("got %+v", problems[0])
	}
	if problems := d.Fill(beside(map[string]string{"cert.pem": "PEM"})); problems != nil {
		t.Fatal(problems)
	}
	files := map[string]string{}
	for name, data := range d.Contents.Files {
		files[name] = string(data)
	}
	if want := map[string]string{"app.conf": "listen 8080\n", "cert.pem": "PEM", "blob": "\x00\x01\x02", ".hidden": ""}; !maps.Equal(files, want) {
		t.Errorf("got %q", files)
	}
	problems = d.Fill(beside(map[string]string{"cert.pem": strings.Repeat("x", spec.MaxConfig)}))
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "more than 1048576") {
		t.Errorf("of what is too large: %v", problems)
	}
}

// A hash is of what a container gets, and of nothing else.
func TestProject(t *testing.T) {
	c := spec.Contents{Env: map[string]string{"LOG": "info"}, Files: map[string][]byte{"a": []byte("x")}}
	both := spec.ConfigUse{Name: "c", Path: "/etc/c", Env: true, Prefix: "WEB_"}
	p := both.Project(c)
	if p.Env["WEB_LOG"] != "info" || len(p.Env) != 1 || string(p.Files["a"]) != "x" || p.Mode != 0o444 {
		t.Errorf("got %v %v", p.Env, p.Files)
	}
	other := spec.Contents{Env: map[string]string{"LOG": "debug"}, Files: c.Files}
	if files := (spec.ConfigUse{Name: "c", Path: "/etc/c"}); files.Project(c).Hash != files.Project(other).Hash {
		t.Error("variables that a container does not get change its hash")
	}
	if both.Project(c).Hash == both.Project(other).Hash {
		t.Error("another value has the same hash")
	}
	if got := spec.ChangedKeys(c.Hashes(), other.Hashes()); !reflect.DeepEqual(got, []string{"env.LOG"}) {
		t.Errorf("changed are %v", got)
	}
}

// Values are in no print, however somebody prints them, and a sensitive config has no hashes.
func TestContentsPrint(t *testing.T) {
	c := spec.Contents{Sensitive: true, Env: map[string]string{"PIN": "hunter2"}, Files: map[string][]byte{"key": []byte("hunter2")}}
	p := spec.ConfigUse{Name: "c", Path: "/c", Env: true}.Project(c)
	d := spec.Document{Contents: c}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{c, p, []spec.Projection{p}, &p, d} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "hunter") || strings.Contains(text, "68756e") || strings.Contains(text, "104 117") {
				t.Errorf("%s of %T shows %s", verb, v, text)
			}
		}
	}
	if c.Hashes() != nil || p.Keys != nil {
		t.Errorf("keys are %v, %v", c.Hashes(), p.Keys)
	}
}
