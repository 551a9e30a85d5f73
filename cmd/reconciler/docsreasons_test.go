package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reasonConstant is a constant whose value is a reason of a condition, an event or an exit.
var reasonConstant = regexp.MustCompile(`^([Rr]eason|Rung|Exit|Phase|Event(Memory|CPU|IO)Pressure)`)

// computedReasons are expressions of a reason that are no constant; what they can be is a constant elsewhere.
var computedReasons = []string{
	"doneReasons.", "rolloutReasons.", "string.hint.Kind", "string.phase", "string.status.Phase", "o.Rung", "reason", "a.Reason", "said.Reason",
	"cmp.Or.p.Reason.reason", "s.waitReason", "w.unreadyReason.in", "\"Failed\"+verb",
}

// reasonTable is a map whose values are reasons.
var reasonTable = regexp.MustCompile(`^(doneReasons|rolloutReasons)$`)

// reasons collects what a package can give as a reason.
type reasons struct {
	t         *testing.T
	constants map[string]string
	found     map[string]bool
}

// TestReasons holds docs/troubleshooting.md to the reasons that the program can give, both ways.
func TestReasons(t *testing.T) {
	r := reasons{t: t, constants: map[string]string{}, found: map[string]bool{}}
	var files []*ast.File
	for _, dir := range []string{"pkg/spec", "pkg/reconcile", "pkg/reconcile/record", "cmd/reconciler"} {
		files = append(files, r.parse(dir)...)
	}
	for _, f := range files {
		ast.Inspect(f, r.constant)
	}
	for _, f := range files {
		ast.Inspect(f, r.use)
	}
	if len(r.found) < 90 {
		t.Errorf("only %d reasons are found in the code: the test looks at the wrong places", len(r.found))
	}
	text, err := os.ReadFile("../../docs/troubleshooting.md")
	must(t, err)
	said := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " |"); ok && strings.HasPrefix(line, "| `") {
			for _, word := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(cell, -1) {
				said[word[1]] = true
			}
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(r.found)) {
		if !said[reason] {
			t.Errorf("docs/troubleshooting.md says nothing of the reason %s", reason)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(said)) {
		if !r.found[reason] {
			t.Errorf("docs/troubleshooting.md has the reason %s, which nothing gives", reason)
		}
	}
}

func (r *reasons) parse(dir string) (files []*ast.File) {
	paths, err := filepath.Glob("../../" + dir + "/*.go")
	must(r.t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		must(r.t, err)
		files = append(files, f)
	}
	return files
}

// constant finds constants, and among them those whose name says that they are reasons. A verb that can fail is the reason Failed with its name.
func (r *reasons) constant(n ast.Node) bool {
	values, ok := n.(*ast.ValueSpec)
	if !ok {
		return true
	}
	for i, name := range values.Names {
		if i >= len(values.Values) {
			break
		}
		value, ok := text(values.Values[i])
		if !ok {
			continue
		}
		r.constants[name.Name] = value
		switch {
		case reasonConstant.MatchString(name.Name):
			r.found[value] = true
		case strings.HasPrefix(name.Name, "Verb"):
			r.found["Failed"+value] = true
		}
	}
	return true
}

// use finds what Reason is set to, and the values of tables.
func (r *reasons) use(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Reason" {
			r.value(n.Value)
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if s, ok := left.(*ast.SelectorExpr); ok && s.Sel.Name == "Reason" && i < len(n.Rhs) {
				r.value(n.Rhs[i])
			}
		}
	case *ast.ValueSpec:
		if len(n.Values) == 1 && reasonTable.MatchString(n.Names[0].Name) {
			for _, row := range n.Values[0].(*ast.CompositeLit).Elts {
				r.value(row.(*ast.KeyValueExpr).Value)
			}
		}
	}
	return true
}

func (r *reasons) value(e ast.Expr) {
	if value, ok := text(e); ok {
		r.found[value] = true
		return
	}
	var source strings.Builder
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			source.WriteString(n.Name + ".")
		case *ast.BasicLit:
			source.WriteString(n.Value + "+")
		}
		return true
	})
	name := strings.TrimSuffix(source.String(), ".")
	last := name[strings.LastIndex(name, ".")+1:]
	if value, ok := r.constants[last]; ok {
		r.found[value] = true
		return
	}
	if !slices.ContainsFunc(computedReasons, func(known string) bool { return strings.HasPrefix(name, known) }) {
		r.t.Errorf("a reason is computed in a way that this test does not know: %s", name)
	}
}

// text is the value of a literal.
func text(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(literal.Value)
	return value, err == nil
}
