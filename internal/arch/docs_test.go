package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"
)

// wellKnown are methods that interfaces of the standard library explain.
var wellKnown = []string{"Error", "Unwrap", "String", "Read", "Write", "Close"}

// Whoever reads the documentation of a package finds what it is and what each name of it is.
func TestEveryNameIsExplained(t *testing.T) {
	for _, p := range list(t, "./pkg/...") {
		explained := false
		for _, file := range p.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			explained = explained || parsed.Doc != nil
			for _, name := range unexplained(parsed) {
				t.Errorf("%s/%s: %s has no comment", p.ImportPath, file, name)
			}
		}
		if !explained {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// unexplained are the exported names of a file that nothing is said of, neither alone nor as one of a group.
func unexplained(file *ast.File) (names []string) {
	note := func(name *ast.Ident, comments ...*ast.CommentGroup) {
		if name.IsExported() && !slices.ContainsFunc(comments, func(c *ast.CommentGroup) bool { return c != nil }) {
			names = append(names, name.Name)
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || receiver(d).IsExported() && !slices.Contains(wellKnown, d.Name.Name) {
				note(d.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					note(s.Name, d.Doc, s.Doc, s.Comment)
				case *ast.ValueSpec:
					for _, name := range s.Names {
						note(name, d.Doc, s.Doc, s.Comment)
					}
				}
			}
		}
	}
	return names
}

// receiver is the name of a method's type.
func receiver(d *ast.FuncDecl) *ast.Ident {
	for e := d.Recv.List[0].Type; ; {
		switch t := e.(type) {
		case *ast.Ident:
			return t
		case *ast.StarExpr:
			e = t.X
		case *ast.IndexExpr:
			e = t.X
		default:
			return ast.NewIdent("_")
		}
	}
}

// A name without a comment is found, whatever it is.
func TestUnexplainedIsFound(t *testing.T) {
	const source = `package p
type T struct{}
func (*T) M() {}
func (hidden) N() {}
func (T) Error() string { return "" }
// F is explained.
func F() {}
const (
	A = 1 // so is A
	B = 2
)
func g() {}
`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if got := unexplained(file); !slices.Equal(got, []string{"T", "M", "B"}) {
		t.Errorf("found %q", got)
	}
}
