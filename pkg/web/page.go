package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
	"time"
)

// packed are the files of page/, each by itself as gzip has it; internal/genweb writes them.
//
//go:embed packed
var packed embed.FS

// Prefix is where the page is.
const Prefix = "/ui/"

// types are the kinds of files that there are.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// headers go with each file: it is shown alone, has nothing from elsewhere, and no text can become a script.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
	"Content-Encoding":             "gzip",
	"Cache-Control":                "no-cache", // asked for each time, and not sent again: another version of the agent may have another page
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
}

// writeTimeout is how long a reader may take for a file, and for a refusal.
const writeTimeout = 30 * time.Second

// Page answers GET below Prefix, and leads there from elsewhere. The files are always compressed: curl needs --compressed.
func Page() http.Handler { return http.HandlerFunc(servePage) }

func servePage(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	name, below := strings.CutPrefix(r.URL.Path, Prefix)
	if !below {
		http.Redirect(w, r, Prefix, http.StatusFound)
		return
	}
	if name == "" {
		name = "index.html"
	}
	text, err := packed.ReadFile("packed/" + name + ".gz")
	if err != nil {
		http.NotFound(w, r)
		return
	}
	for key, value := range headers {
		w.Header().Set(key, value)
	}
	sum := sha256.Sum256(text)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Content-Type", types[path.Ext(name)])
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(text)
}
