package tree_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
)

// A tmpfs is saved as a whole, and put into another directory.
func ExampleSave() {
	top, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(top)
	from, to := filepath.Join(top, "from"), filepath.Join(top, "to")
	for _, dir := range []string{from, to} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			log.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(from, "state"), []byte("counted to 11\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	source, err := os.Open(from)
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	target, err := os.Open(to)
	if err != nil {
		log.Fatal(err)
	}
	defer target.Close()
	ctx := context.Background()

	var archive bytes.Buffer
	if err := tree.Save(ctx, &archive, source, nil); err != nil {
		log.Fatal(err)
	}
	if err := tree.Apply(ctx, target, &archive, nil, tree.Options{Bytes: 1 << 20}); err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(to, "state"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", text)
	// Output:
	// counted to 11
}

// Names of deleted files are JSON, whatever bytes they have.
func ExampleEncodeDeleted() {
	fmt.Printf("%s", tree.EncodeDeleted([]string{"etc/motd", "tmp/\xff"}))
	// Output:
	// ["etc/motd","tmp/\udcff"]
}
