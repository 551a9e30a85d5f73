package promise

import (
	"bytes"
	_ "embed"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux"
)

// drift is the page above its table.
//
//go:embed drift.md
var drift []byte

// DriftPage is docs/drift.md.
func DriftPage() []byte {
	var b bytes.Buffer
	b.Write(drift)
	line(&b, []string{"field", "how it is read", "what is wanted", "what is done"})
	line(&b, []string{"---", "---", "---", "---"})
	for _, row := range linux.DriftRows {
		line(&b, []string{"`" + strings.ReplaceAll(row.Field, ", ", "`, `") + "`", row.Read, row.Wanted, row.Done})
	}
	return b.Bytes()
}
