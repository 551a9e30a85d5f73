// Command genapi writes the OpenAPI document of the agent's interface from its table of routes and from the types and comments of what
// goes over it: docs/openapi.json for people, and compressed below pkg/api for the agent to serve. It refuses to know what a route does.
//
// It runs in pkg/api, by go generate, after the comments of pkg/spec have been written.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(filepath.Join("..", "..")); err != nil {
		fmt.Fprintln(os.Stderr, "genapi:", err)
		os.Exit(1)
	}
}

// The files that are written, below the repository.
var (
	readable = filepath.Join("docs", "openapi.json")
	packed   = filepath.Join("pkg", "api", "openapi.json.gz")
)

func run(root string) error {
	document, err := generate(root)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, readable), append(text, '\n'), 0o644); err != nil {
		return err
	}
	dense, err := json.Marshal(document)
	if err != nil || bytes.Equal(unpack(filepath.Join(root, packed)), dense) {
		return err // another compiler may pack the same otherwise
	}
	return os.WriteFile(filepath.Join(root, packed), pack(dense), 0o644)
}

// pack compresses without a name and a time, so that the same text gives the same bytes.
func pack(text []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}

// unpack reads a compressed file; nil when there is none.
func unpack(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(r)
	return text
}
