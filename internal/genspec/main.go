// Command genspec writes what is derived from the comments and types of pkg/spec: the table of comments, the JSON Schema and the
// reference page. It knows Go source and Markdown; it refuses to know what a field means beyond its comment.
//
// It runs twice in pkg/spec, by go generate: `genspec docs` first, then, compiled with the new comments, `genspec pages`.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "genspec:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: genspec docs|pages")
	}
	files, err := generate(args[0], ".")
	if err != nil {
		return err
	}
	for path, data := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate makes the files of a stage, by path; dir is the folder of pkg/spec.
func generate(stage, dir string) (map[string][]byte, error) {
	switch stage {
	case "docs":
		data, err := docTable(dir)
		return map[string][]byte{filepath.Join(dir, "docs_gen.go"): data}, err
	case "pages":
		return pages(filepath.Join(dir, "..", "..")), nil
	}
	return nil, fmt.Errorf("unknown stage %q: it is docs or pages", stage)
}
