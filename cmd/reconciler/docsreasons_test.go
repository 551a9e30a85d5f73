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

	"github.com/seed31d4122e/reconciler/pkg/spec"
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
	said := reasonRows(string(text))
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

// conditionReasons are the functions of pkg/reconcile that give a condition its reason, and the expressions among what they give that are no constant, with what those can be.
var conditionReasons = map[spec.ConditionType]struct {
	functions []string
	computed  []string
}{
	spec.ConditionReady: {
		[]string{"ready", "waitReason", "unreadyReason"},
		[]string{"Pending", "Starting", "Running", "Paused", "Stopped", "Checkpointed", "Completed", "BackOff", "Failed", "Terminating"}, // a phase
	},
	spec.ConditionReconciling: {[]string{"reconciling", "waitReason", "unreadyReason"}, nil},
	spec.ConditionStalled:     {[]string{"stalled", "over"}, nil},
	spec.ConditionAccepted: {
		[]string{"keep", "refused", "claim", "release", "prune", "refuseCircle", "wants"},
		[]string{"PolicyDenied", "SignatureInvalid"}, // a problem's
	},
}

// TestReasonsOfConditions holds the sections of docs/troubleshooting.md about conditions to what the functions give that compute these, both ways.
func TestReasonsOfConditions(t *testing.T) {
	r := reasons{t: t, constants: map[string]string{}, found: map[string]bool{}}
	var files []*ast.File
	for _, dir := range []string{"pkg/spec", "pkg/reconcile"} {
		files = append(files, r.parse(dir)...)
	}
	for _, f := range files {
		ast.Inspect(f, r.constant)
	}
	text, err := os.ReadFile("../../docs/troubleshooting.md")
	must(t, err)
	for condition, by := range conditionReasons {
		_, section, _ := strings.Cut(string(text), "\n### "+string(condition)+"\n")
		section, _, _ = strings.Cut(section, "\n###")
		given := append(r.named(files, by.functions), by.computed...)
		slices.Sort(given)
		said := slices.Sorted(maps.Keys(reasonRows(section)))
		if given = slices.Compact(given); !slices.Equal(said, given) {
			t.Errorf("docs/troubleshooting.md has as reasons of %s\n%q, and it can have\n%q", condition, said, given)
		}
	}
}

// named are the values of the constants of reasons in functions and methods of these names.
func (r *reasons) named(files []*ast.File, functions []string) (values []string) {
	for _, f := range files {
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && slices.Contains(functions, d.Name.Name) {
				ast.Inspect(d.Body, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok && strings.HasPrefix(id.Name, "Reason") && r.constants[id.Name] != "" {
						values = append(values, r.constants[id.Name])
					}
					return true
				})
			}
		}
	}
	return values
}

// reasonRows are the words in the first cells of tables whose rows begin with one.
func reasonRows(text string) map[string]bool {
	said := map[string]bool{}
	for line := range strings.Lines(text) {
		if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " |"); ok && strings.HasPrefix(line, "| `") {
			for _, word := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(cell, -1) {
				said[word[1]] = true
			}
		}
	}
	return said
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
