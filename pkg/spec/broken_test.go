package spec_test

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

var update = flag.Bool("update", false, "write what is expected into testdata")

// fieldHeader stands before the cases that are one field.
const fieldHeader = `apiVersion: reconciler/v1alpha1
kind: Container
metadata: {name: web}
spec:
  rootfs: {path: /srv}
  command: [x]
`

// manifest is the text of a case by the extension of its name.
func manifest(t testing.TB, kind, text string) []byte {
	switch kind {
	case ".literal":
		s, err := strconv.Unquote(strings.TrimSpace(text))
		if err != nil {
			t.Fatal(err)
		}
		return []byte(s)
	case ".field":
		return []byte(fieldHeader + text)
	}
	return []byte(text)
}

// section is one `-- name --` of a txtar file, with the text below it.
type section struct{ name, text string }

// readSections reads a txtar file: what stands before the first section, and the sections.
func readSections(t testing.TB, path string) (comment string, sections []section) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		name, ok := strings.CutPrefix(line, "-- ")
		if name, end := strings.CutSuffix(name, " --\n"); ok && end {
			sections = append(sections, section{name: name})
		} else if len(sections) == 0 {
			comment += line
		} else {
			sections[len(sections)-1].text += line
		}
	}
	return comment, sections
}

func writeSections(t *testing.T, path, comment string, sections []section) {
	var b strings.Builder
	b.WriteString(comment)
	for _, s := range sections {
		b.WriteString("-- " + s.name + " --\n" + s.text)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every broken manifest of testdata/broken gives exactly the expected problems. `go test -run Broken -update` writes them.
func TestBroken(t *testing.T) {
	paths, err := filepath.Glob("testdata/broken/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, path := range paths {
		comment, sections := readSections(t, path)
		topic := strings.TrimSuffix(filepath.Base(path), ".txtar")
		for i := 0; i+1 < len(sections); i += 2 {
			in, want := sections[i], &sections[i+1]
			kind := filepath.Ext(in.name)
			name := strings.TrimSuffix(in.name, kind)
			if want.name != name+".want" {
				t.Fatalf("%s: %s stands after %s", path, want.name, in.name)
			}
			cases++
			t.Run(topic+"/"+name, func(t *testing.T) {
				_, problems := spec.Decode("m", manifest(t, kind, in.text))
				if problems == nil {
					t.Fatal("no problem found")
				}
				got := problems.Error() + "\n"
				if *update {
					want.text = got
				} else if got != want.text {
					t.Errorf("got:\n%swant:\n%s", got, want.text)
				}
			})
		}
		if *update {
			writeSections(t, path, comment, sections)
		}
	}
	if cases < 200 {
		t.Errorf("%d broken manifests, want at least 200", cases)
	}
}
