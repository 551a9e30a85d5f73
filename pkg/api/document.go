package api

import (
	"bytes"
	"compress/gzip"
	_ "embed" // of the document
	"io"
	"net/http"
	"strings"
	"time"
)

// document is the OpenAPI document of Routes, compressed; internal/genapi writes it.
//
//go:embed openapi.json.gz
var document []byte

// Document is the OpenAPI 3.1 document of this interface, JSON without blanks.
func Document() ([]byte, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unpacked)
}

// serveDocument sends the document as it is to those who can unpack it.
func serveDocument(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", "application/json")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(document)
		return
	}
	text, err := Document()
	if err != nil {
		writeError(w, err)
		return
	}
	_, _ = w.Write(text)
}
