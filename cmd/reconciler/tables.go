//go:build pages

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Between these marks of docs/configuration.md stands what is generated.
const (
	tableBegin = "<!-- generated from the flags of run -->\n"
	tableEnd   = "<!-- end -->\n"
)

// writeTables writes the table of keys into docs/configuration.md, packaging/config.yaml, and docs/cli.md.
func writeTables(root string) error {
	page := filepath.Join(root, "docs", "configuration.md")
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	_, after, closed := strings.Cut(rest, tableEnd)
	if !ok || !closed {
		return fmt.Errorf("%s has no place for the table", page)
	}
	if err := os.WriteFile(page, []byte(before+tableBegin+keyTable()+tableEnd+after), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "packaging", "config.yaml"), defaultFile(), 0o644); err != nil {
		return err
	}
	return writeCommandLine(root)
}

// keyTable is a row for each key.
func keyTable() string {
	var b strings.Builder
	b.WriteString("| key below `spec` | value | default | change | meaning |\n|---|---|---|---|---|\n")
	for _, f := range configKeys().Fields() {
		name, _ := strings.CutPrefix(f.Path, "spec.")
		standard := ""
		if f.Default != "" && f.Default != "[]" {
			standard = "`" + f.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, keyValues(f), standard, keyChange(f), strings.ReplaceAll(f.Doc, "|", `\|`))
	}
	return b.String()
}

func keyValues(f spec.Field) string {
	if f.Values != nil {
		return strings.Join(f.Values, ", ")
	}
	return f.Type
}

// keyChange says when a change counts.
func keyChange(f spec.Field) string {
	if slices.Contains(appliedKeys, strings.TrimPrefix(f.Path, "spec.")) {
		return "live"
	}
	return "restart"
}

// defaultFile is a configuration in which every key stands as a comment with its default.
func defaultFile() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# The agent's configuration. Each line that is a comment says what is so anyway: take the # away and change it, then
#     reconciler config --check && systemctl reload reconciler
# reconciler config shows what the agent runs with, and what waits for a restart. Files in config.yaml.d count more than this one, flags of run most.
# man reconciler-config
apiVersion: %s
kind: %s
spec:
`, spec.APIVersion, spec.KindAgentConfig)
	c := newSettings().shown()
	for _, f := range configKeys().Fields() {
		name := strings.TrimPrefix(f.Path, "spec.")
		line, err := flowText(name, c.Spec[name])
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "\n  # %s\n  #%s\n", f.Doc, line)
	}
	return b.Bytes()
}
