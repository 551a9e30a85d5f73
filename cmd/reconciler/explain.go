package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func newExplain(a *app) *cobra.Command {
	var format *format
	var recursive bool
	cmd := &cobra.Command{
		Use:   "explain [PATH]",
		Short: "Explain the fields of a manifest",
		Long: `Explain a field of a manifest and the fields below it: type, default, and what a change does.
A live change is applied in place; a replace change gives a new instance. A path may leave "spec." out.
Without PATH: all fields, one a line. A path that begins with a kind is of that: Group, Job, Config, NodePolicy,
AgentConfig.`,
		Example: `  reconciler explain
  reconciler explain spec.resources.memory
  reconciler explain restart --recursive
  reconciler explain NodePolicy.logs
  reconciler explain AgentConfig.prune`,
		Args: atMostOneName,
		ValidArgsFunction: func(_ *cobra.Command, _ []string, start string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return completePath(start), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(_ *cobra.Command, args []string) error {
			path := strings.Join(args, "")
			field, err := findField(path)
			if err != nil {
				return err
			}
			if format.word != "text" {
				return a.encode(format.word, field)
			}
			if path == "" {
				a.explainTree(field.Fields, "")
				return nil
			}
			a.explain(field, recursive)
			return nil
		},
	}
	format = outputFlag(cmd, "text", "json", "yaml")
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "explain the fields below the fields, too")
	return cmd
}

func findField(path string) (spec.Field, error) {
	if field, ok := spec.Explain(path); ok {
		return field, nil
	}
	if field, ok := configKeys().Explain(path); ok {
		return appliedOrNot(field), nil
	}
	err := fmt.Errorf("a manifest has no field %q", path)
	if near := spec.Suggest(path); near != "" {
		return spec.Field{}, withHint(err, "did you mean "+near+"?")
	}
	return spec.Field{}, withHint(err, "`reconciler explain` lists the fields")
}

// appliedOrNot is a field of the agent's configuration with what a change of it takes.
func appliedOrNot(f spec.Field) spec.Field {
	parent, key, _ := cutLast(f.Path)
	if f.Fields = slices.Clone(f.Fields); parent == "spec" {
		f.Class = "after a restart"
		if slices.Contains(appliedKeys, key) {
			f.Class = spec.ClassLive
		}
	}
	for i := range f.Fields {
		f.Fields[i] = appliedOrNot(f.Fields[i])
	}
	return f
}

// completePath completes one more word of a path.
func completePath(start string) []cobra.Completion {
	parent, _, _ := cutLast(start)
	field, ok := spec.Explain(parent)
	if !ok {
		return nil
	}
	var paths []cobra.Completion
	for _, f := range field.Fields {
		if strings.HasPrefix(f.Path, start) {
			paths = append(paths, cobra.CompletionWithDesc(f.Path, f.Type))
		}
	}
	return paths
}

func cutLast(path string) (parent, word string, found bool) {
	i := strings.LastIndex(path, ".")
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

func (a *app) explain(f spec.Field, recursive bool) {
	if f.Path != "" {
		fmt.Fprintf(a.out, "%s  %s\n", a.out.bold(f.Path), a.out.dim(facts(f)))
	}
	if f.Doc != "" {
		fmt.Fprintln(a.out, wrap(f.Doc, min(a.out.widthOr(100), 100), "  "))
	}
	a.explainBelow(f.Fields, "  ", recursive)
}

func (a *app) explainBelow(fields []spec.Field, indent string, recursive bool) {
	for _, f := range fields {
		_, word, _ := cutLast(f.Path)
		fmt.Fprintf(a.out, "\n%s%s  %s\n", indent, a.out.bold(word), a.out.dim(facts(f)))
		fmt.Fprintln(a.out, wrap(f.Doc, min(a.out.widthOr(100), 100), indent+"  "))
		if recursive {
			a.explainBelow(f.Fields, indent+"    ", recursive)
		}
	}
}

// explainTree writes every field, one a line.
func (a *app) explainTree(fields []spec.Field, indent string) {
	for _, f := range fields {
		_, word, _ := cutLast(f.Path)
		fmt.Fprintf(a.out, "%-28s %s\n", indent+word, a.out.dim(facts(f)))
		a.explainTree(f.Fields, indent+"  ")
	}
}

// facts are type, default, bounds and class of a field, in one line.
func facts(f spec.Field) string {
	parts := []string{f.Type}
	if f.Required {
		parts = append(parts, "required")
	}
	if len(f.Values) > 0 {
		parts = append(parts, strings.Join(f.Values, " | "))
	}
	if b := bounds(f); b != "" {
		parts = append(parts, b)
	}
	if f.Default != "" {
		parts = append(parts, "default "+f.Default)
	}
	if f.Class != "" && len(f.Fields) == 0 {
		parts = append(parts, f.Class)
	}
	return "<" + strings.Join(parts, ", ") + ">"
}

func bounds(f spec.Field) string {
	switch {
	case f.Min == "" && f.Max == "":
		return ""
	case f.Max == "":
		return "at least " + f.Min
	case f.Min == "":
		return "at most " + f.Max
	default:
		return f.Min + " to " + f.Max
	}
}

// wrap breaks text into lines of at most width characters, each indented.
func wrap(text string, width int, indent string) string {
	var lines []string
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width && line != indent {
			lines = append(lines, line)
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}
