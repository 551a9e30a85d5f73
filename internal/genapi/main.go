// Command genapi writes the OpenAPI document of the agent's interface from its table of routes and from the types and comments of what
// goes over it: docs/openapi.json for people, and compressed below pkg/api for the agent to serve. It refuses to know what a route does.
//
// It runs in pkg/api, by go generate, after the comments of pkg/spec have been written.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/seed31d4122e/reconciler/pkg/api"
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
	packed   = filepath.Join("pkg", "api", "openapi.json.zst")
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
	// What is packed has a gap, see api.Document.
	document["components"].(node)["schemas"].(node)[manifestSpec] = nil
	dense, err := json.Marshal(document)
	switch {
	case err != nil:
		return err
	case !bytes.Contains(dense, []byte(api.DocumentGap)):
		return fmt.Errorf("no %s in the document", api.DocumentGap)
	case bytes.Equal(unpack(filepath.Join(root, packed)), dense):
		return nil // another compressor may pack the same otherwise
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, packed), w.EncodeAll(dense, nil), 0o644)
}

// unpack reads a compressed file; nil when it cannot.
func unpack(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	r, err := zstd.NewReader(nil)
	if err != nil {
		return nil
	}
	defer r.Close()
	text, _ := r.DecodeAll(data, nil)
	return text
}
