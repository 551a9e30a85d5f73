package arch

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/seed31d4122e/reconciler"

// The budget of the binary.
const maxModules = 45

// listed is what `go list -json` says of one package.
type listed struct {
	ImportPath string
	Dir        string
	Standard   bool
	Imports    []string
	CgoFiles   []string
	GoFiles    []string
	Module     *struct{ Path string }
}

func list(t *testing.T, args ...string) (all []listed) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json=ImportPath,Dir,Standard,Imports,CgoFiles,GoFiles,Module"}, args...)...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImports(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < 10 {
		t.Fatalf("found only %d packages", len(packages))
	}
	for _, p := range packages {
		for _, broken := range check(strings.TrimPrefix(p.ImportPath, module+"/"), p.Imports, module) {
			t.Error(broken)
		}
	}
}

// A rule that catches nothing proves nothing.
func TestRulesCatch(t *testing.T) {
	ours := func(names ...string) []string {
		for i, name := range names {
			names[i] = module + "/" + name
		}
		return names
	}
	tests := []struct {
		pkg     string
		imports []string
		broken  int
	}{
		{"pkg/spec", ours("pkg/reconcile"), 1},
		{"pkg/spec", []string{"os", "os/exec", "strings", "osx"}, 2},
		{"pkg/reconcile", ours("pkg/spec", "pkg/reconcile/source"), 0},
		{"pkg/reconcile/source", ours("pkg/linux/feature", "pkg/api"), 2},
		{"pkg/linux", ours("pkg/linux/cgroup", "pkg/reconcile", "pkg/checkpoint"), 2},
		{"pkg/linux/cgroup/systemd", ours("pkg/linux/cgroup", "pkg/linux/mount"), 1},
		{"pkg/linux/keeper", ours("pkg/linux/cgroup", "pkg/linux/log"), 1},
		{"pkg/client", append(ours("pkg/api", "internal/simnode"), "testing"), 2},
		{"cmd/reconciler", ours("pkg/linux", "pkg/reconcile", "pkg/checkpoint"), 0},
		{"elsewhere", nil, 1},
	}
	for _, test := range tests {
		if broken := check(test.pkg, test.imports, module); len(broken) != test.broken {
			t.Errorf("%s with %q: %q, want %d", test.pkg, test.imports, broken, test.broken)
		}
	}
}

func TestBudget(t *testing.T) {
	var modules, cgo []string
	for _, p := range list(t, "-deps", "./cmd/reconciler") {
		if p.Standard { // built without cgo
			continue
		}
		if p.CgoFiles != nil {
			cgo = append(cgo, p.ImportPath)
		}
		if p.Module != nil && !slices.Contains(modules, p.Module.Path) {
			modules = append(modules, p.Module.Path)
		}
	}
	t.Logf("%d modules of at most %d", len(modules), maxModules)
	if len(modules) > maxModules {
		t.Errorf("the binary is made of %d modules, at most %d are wanted: %q", len(modules), maxModules, modules)
	}
	if cgo != nil {
		t.Errorf("one static binary means no cgo, but %q use it", cgo)
	}
}

// Root is a set of capabilities that can be asked for by name; a comparison with user 0 closes the way to
// running without it.
func TestOnlyFeatureAsksForRoot(t *testing.T) {
	for _, p := range list(t, "./cmd/...", "./pkg/...") {
		if strings.HasSuffix(p.ImportPath, "pkg/linux/feature") {
			continue
		}
		for _, name := range p.GoFiles {
			for _, where := range rootTests(t, filepath.Join(p.Dir, name), nil) {
				t.Errorf("%s: ask pkg/linux/feature for privileges instead", where)
			}
		}
	}
}

func TestRootTestsAreFound(t *testing.T) {
	source := `package p; var a, b, c = os.Geteuid() == 0, 0 != unix.Getuid(), os.Geteuid() == peer`
	if found := rootTests(t, "p.go", source); len(found) != 2 {
		t.Errorf("found %q", found)
	}
}

// rootTests finds comparisons of os.Geteuid() and the like with 0.
func rootTests(t *testing.T, file string, source any) (found []string) {
	t.Helper()
	files := token.NewFileSet()
	tree, err := parser.ParseFile(files, file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		if b, ok := n.(*ast.BinaryExpr); ok && (isUID(b.X) && isZero(b.Y) || isZero(b.X) && isUID(b.Y)) {
			found = append(found, files.Position(b.Pos()).String())
		}
		return true
	})
	return found
}

func isUID(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	name, ok := call.Fun.(*ast.SelectorExpr)
	return ok && (name.Sel.Name == "Geteuid" || name.Sel.Name == "Getuid")
}

func isZero(e ast.Expr) bool {
	literal, ok := e.(*ast.BasicLit)
	return ok && literal.Value == "0"
}
