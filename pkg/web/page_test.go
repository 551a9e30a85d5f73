package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sources are the files of the page as they are written, by name.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("page/*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	all := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(f)] = string(text)
	}
	return all
}

func ask(handler http.Handler, method, path string, header http.Header) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "http://localhost"+path, nil)
	if header != nil {
		r.Header = header
	}
	handler.ServeHTTP(w, r)
	return w
}

// Each file is served as it is written, as what it is, with all that keeps a page by itself.
func TestFiles(t *testing.T) {
	for name, text := range sources(t) {
		w := ask(Page(), http.MethodGet, Prefix+name, nil)
		unpacked, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatalf("%s: %d, %v", name, w.Code, err)
		}
		got, err := io.ReadAll(unpacked)
		if err != nil || string(got) != text {
			t.Errorf("%s is not what page/%s says (make generate): %v", name, name, err)
		}
		header := w.Header()
		if kind := types[filepath.Ext(name)]; kind == "" || header.Get("Content-Type") != kind {
			t.Errorf("%s is served as %q", name, header.Get("Content-Type"))
		}
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(header.Get("Content-Security-Policy"), part) {
				t.Errorf("%s lacks %s", name, part)
			}
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", name, header)
		}
		if w := ask(Page(), http.MethodGet, Prefix+name, http.Header{"If-None-Match": {header.Get("Etag")}}); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("%s, known already: %d, %d bytes", name, w.Code, w.Body.Len())
		}
	}
	if len(mustDir(t, "packed")) != len(mustDir(t, "page")) {
		t.Error("something else is packed than there is: make generate")
	}
}

func mustDir(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPaths(t *testing.T) {
	for path, want := range map[string]int{
		Prefix: http.StatusOK, "/": http.StatusFound, Prefix + "none.js": http.StatusNotFound, Prefix + "../page.go": http.StatusNotFound, Prefix + "a/b": http.StatusNotFound,
	} {
		if w := ask(Page(), http.MethodGet, path, nil); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

// The state machine has the states that there are, and each has a colour.
func TestStates(t *testing.T) {
	text, err := os.ReadFile("../spec/status.go")
	if err != nil {
		t.Fatal(err)
	}
	phases := regexp.MustCompile(`(?m)^\tPhase\w+ +Phase = "(\w+)"$`).FindAllStringSubmatch(string(text), -1)
	if len(phases) < 10 {
		t.Fatalf("only %d phases", len(phases))
	}
	all := sources(t)
	_, drawn, _ := strings.Cut(all["machine.js"], "const states = {")
	drawn, _, _ = strings.Cut(drawn, "};")
	for _, phase := range phases {
		if !strings.Contains(drawn, " "+phase[1]+": [") || !strings.Contains(all["style.css"], ".p-"+phase[1]) {
			t.Errorf("%s is not drawn", phase[1])
		}
	}
	if got := strings.Count(drawn, ": ["); got != len(phases) {
		t.Errorf("%d states are drawn, of %d", got, len(phases))
	}
}

// The page has all it needs from the agent, and no way from a text to markup or to a script.
func TestNothingFromElsewhere(t *testing.T) {
	elsewhere := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]`)
	sink := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc|createContextualFragment|setHTML|javascript:`)
	for name, text := range sources(t) {
		text = strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "")
		for i, line := range strings.Split(text, "\n") {
			if elsewhere.MatchString(line) || sink.MatchString(line) {
				t.Errorf("%s:%d: %s", name, i+1, line)
			}
		}
	}
}
