// Command genoci writes docs/oci.md: how engines use the OCI command line, and what becomes of each property of the runtime specification, from the
// table that translates them.
package main

import (
	_ "embed"
	"fmt"
	"log"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
)

//go:embed oci.md
var page string

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: genoci FILE")
	}
	if err := os.WriteFile(os.Args[1], []byte(Page()), 0o644); err != nil {
		log.Fatal(err)
	}
}

// Page is the text of the page.
func Page() string {
	return strings.NewReplacer("@VERSION@", oci.Version, "@FIELDS@\n", fields(), "@IGNORED@\n", reasons(oci.Ignored), "@REFUSED@\n", reasons(oci.Refused)).Replace(page)
}

func fields() string {
	var b strings.Builder
	b.WriteString("| property | key of a manifest, below `spec` |\n|---|---|\n")
	for _, f := range oci.Fields {
		if _, isRefused := oci.Refused[f.Field]; isRefused || f.Word == "" {
			continue
		}
		word := f.Word
		if !strings.HasPrefix(word, "(") {
			word, _, _ = strings.Cut(word, " (")
			var keys []string
			for key := range strings.SplitSeq(word, ", ") {
				keys = append(keys, "`"+key+"`")
			}
			word = strings.Join(keys, ", ") + note(f.Word)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.Field, word)
	}
	return b.String()
}

// note is what a word says in brackets after its keys.
func note(word string) string {
	if _, after, ok := strings.Cut(word, " ("); ok {
		return " (" + after
	}
	return ""
}

func reasons(list map[string]string) string {
	var b strings.Builder
	b.WriteString("| property | why |\n|---|---|\n")
	for _, field := range slices.Sorted(maps.Keys(list)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", field, list[field])
	}
	return b.String()
}
