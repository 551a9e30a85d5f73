//go:build pages

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// With the tag pages this program is another one: it writes manual pages and completions into a directory, and ends. Nothing of it is in the product.
//
//	go run -tags pages ./cmd/reconciler DIR             DIR/man/*.{1,5}, DIR/completion/reconciler.{bash,zsh,fish}
//	go run -tags pages ./cmd/reconciler -tables ROOT    what of the repository at ROOT is made of the flags of run: see tables.go
func init() {
	do, args := writePages, os.Args[1:]
	if len(args) > 1 && args[0] == "-tables" {
		do, args = writeTables, args[1:]
	}
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "usage: go run -tags pages ./cmd/reconciler [-tables] DIR")
		os.Exit(2)
	}
	if err := do(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func writePages(dir string) error {
	man, completion := filepath.Join(dir, "man"), filepath.Join(dir, "completion")
	for _, d := range []string{man, completion} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	root := newRoot(&app{out: newScreen(io.Discard), err: newScreen(io.Discard)})
	if err := eachVerb(root, func(cmd *cobra.Command) error {
		return os.WriteFile(filepath.Join(man, pageName(cmd)+".1"), verbPage(cmd), 0o644)
	}); err != nil {
		return err
	}
	for name, text := range map[string][]byte{"reconciler-manifest.5": manifestPage(), "reconciler-config.5": configPage()} {
		if err := os.WriteFile(filepath.Join(man, name), text, 0o644); err != nil {
			return err
		}
	}
	for shell, write := range map[string]func(io.Writer) error{
		"bash": func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":  root.GenZshCompletion,
		"fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
	} {
		var text bytes.Buffer
		if err := write(&text); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(completion, "reconciler."+shell), text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// eachVerb visits a command and all below it that help shows.
func eachVerb(cmd *cobra.Command, do func(*cobra.Command) error) error {
	if err := do(cmd); err != nil {
		return err
	}
	for _, below := range cmd.Commands() {
		if !below.IsAvailableCommand() || below.Name() == "help" {
			continue
		}
		if err := eachVerb(below, do); err != nil {
			return err
		}
	}
	return nil
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// page is a manual page in the language of man(7).
type page struct{ bytes.Buffer }

func newPage(name, number, title, what string) *page {
	p := &page{}
	fmt.Fprintf(p, ".TH %s %s \"\" \"reconciler\" %q\n", strings.ToUpper(roff(name)), number, title)
	p.section("NAME")
	fmt.Fprintf(p, "%s \\- %s\n", roff(name), roff(what))
	return p
}

func (p *page) section(title string) { fmt.Fprintf(p, ".SH %s\n", title) }

// text writes paragraphs; lines that are indented stay as they are.
func (p *page) text(text string) {
	raw := false
	for line := range strings.Lines(strings.TrimRight(text, "\n ") + "\n") {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, " "); indented != raw {
			if raw = indented; raw {
				p.WriteString(".PP\n.RS 4\n.nf\n")
			} else {
				p.WriteString(".fi\n.RE\n")
			}
		}
		if line == "" {
			p.WriteString(".PP\n")
			continue
		}
		p.WriteString(roffLine(strings.TrimPrefix(line, "  ")) + "\n")
	}
	if raw {
		p.WriteString(".fi\n.RE\n")
	}
}

// item is a tagged paragraph; what stands in front is set bold.
func (p *page) item(bold, plain, text string) {
	fmt.Fprintf(p, ".TP\n\\fB%s\\fR %s\n%s\n", roff(bold), roff(plain), roffLine(text))
}

// roff is text in which nothing means anything to man(7).
func roff(text string) string {
	return strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(strings.TrimRight(text, " "))
}

// roffLine is roff of what may stand at the beginning of a line.
func roffLine(text string) string {
	if text = roff(text); strings.HasPrefix(text, ".") || text == "" {
		return `\&` + text
	}
	return text
}

func verbPage(cmd *cobra.Command) []byte {
	p := newPage(pageName(cmd), "1", "reconciler manual", cmd.Short)
	p.section("SYNOPSIS")
	p.text("  " + strings.ReplaceAll(usageLine(cmd), "\n", "\n  "))
	p.section("DESCRIPTION")
	if cmd.Long != "" {
		p.text(cmd.Long)
	} else {
		p.text(cmd.Short + ".")
	}
	p.flags("OPTIONS", cmd.NonInheritedFlags())
	if cmd.HasParent() {
		p.flags("GLOBAL OPTIONS", cmd.InheritedFlags())
	}
	if cmd.Example != "" {
		p.section("EXAMPLES")
		p.text(strings.TrimRight(cmd.Example, "\n "))
	}
	codes := cmd.Annotations[exitKey]
	if codes == "" {
		codes = plainExits[exitKey]
	}
	p.section("EXIT STATUS")
	for line := range strings.Lines(codes) {
		code, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		p.item(code, "", strings.TrimSpace(text))
	}
	p.also(cmd)
	return p.Bytes()
}

func (p *page) flags(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(title)
	eachFlag(flags, p.item)
}

// eachFlag visits the flags that help shows: with its names, the word for its value, and what it says with its default.
func eachFlag(flags *pflag.FlagSet, do func(name, value, text string)) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "[]" && !strings.Contains(text, "default") {
			text += " (default " + f.DefValue + ")"
		}
		do(name, value, text)
	})
}

// also names the pages of what is above and below.
func (p *page) also(cmd *cobra.Command) {
	var pages []string
	if cmd.HasParent() {
		pages = append(pages, pageName(cmd.Parent())+"(1)")
	}
	for _, below := range cmd.Commands() {
		if below.IsAvailableCommand() && below.Name() != "help" {
			pages = append(pages, pageName(below)+"(1)")
		}
	}
	if len(pages) == 0 || !cmd.HasParent() || cmd.Name() == "run" {
		pages = append(pages, "reconciler-manifest(5)", "reconciler-config(5)")
	}
	p.section("SEE ALSO")
	p.text(strings.Join(pages, ", "))
}

func manifestPage() []byte {
	p := newPage("reconciler-manifest", "5", "reconciler manual", "manifests of containers, groups, jobs and configs")
	p.section("DESCRIPTION")
	p.text(`A manifest file is YAML or JSON with one container, group, job or config a document; documents are separated by a line of ---. Every key that is
not listed here is an error: reconciler validate FILE shows each with its line and column. A live change of a key is applied to what runs, a replace change
gives a new instance.`)
	for _, kind := range []string{spec.KindContainer, spec.KindGroup, spec.KindJob, spec.KindConfig} {
		field, ok := spec.Explain(kind)
		if !ok {
			continue
		}
		p.section(strings.ToUpper(kind))
		p.text(field.Doc)
		p.fields(field.Fields)
	}
	p.section("EXAMPLES")
	p.text("  apiVersion: reconciler/v1alpha1\n  kind: Container\n  metadata: {name: web}\n  spec:\n    rootfs: {path: /srv/web}\n    command: [/bin/httpd, -f, -p, \"80\"]\n    network: {mode: Host}")
	p.section("FILES")
	p.item("/etc/reconciler/manifests.d", "", "where the agent looks for manifests, unless it is told otherwise")
	p.section("SEE ALSO")
	p.text("reconciler-run(1), reconciler-validate(1), reconciler-explain(1)")
	return p.Bytes()
}

func configPage() []byte {
	p := newPage("reconciler-config", "5", "reconciler manual", "the configuration of the agent")
	p.section("DESCRIPTION")
	p.text(`A configuration is one YAML document of kind AgentConfig. Each key is a flag of reconciler run: a key of a file in config.yaml.d counts more than one of
config.yaml, a later file more than an earlier one, and a flag most. A list that is said takes the place of the one before. Every key that is not listed here
is an error: reconciler config --check FILE shows each with its line and column. After systemctl reload reconciler the keys that are said to be live count at
once, the others when the agent is restarted; reconciler config shows which wait.`)
	p.section("KEYS")
	for _, f := range configKeys().Fields() {
		p.item(f.Path, keyFacts(f), f.Doc)
	}
	p.section("EXAMPLES")
	p.text("  apiVersion: reconciler/v1alpha1\n  kind: AgentConfig\n  spec:\n    prune: always\n    grant: [read=group:monitoring]")
	p.section("FILES")
	p.item(defaultConfig, "", "is read if it is there, and if run has no --config")
	p.item(defaultConfig+".d/*.yaml", "", "are read after it, sorted by name")
	p.section("SEE ALSO")
	p.text("reconciler-run(1), reconciler-config(1)")
	return p.Bytes()
}

// keyFacts are type, default and when a change counts, on one line.
func keyFacts(f spec.Field) string {
	line := keyValues(f) + ", " + keyChange(f)
	if f.Default != "" && f.Default != "[]" {
		line += ", default " + f.Default
	}
	return line
}

func (p *page) fields(fields []spec.Field) {
	for _, f := range fields {
		p.item(f.Path, facts(f), f.Doc)
		p.fields(f.Fields)
	}
}
