// Package comments reads the comments of Go types from their source, for generators that show them to people. It refuses to know what
// is generated.
package comments

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// Package is the types of a package by name.
type Package map[string]*doc.Type

// Parse reads the package in a folder, without its tests.
func Parse(dir string) (Package, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	pkg, err := doc.NewFromFiles(fset, files, filepath.Base(dir))
	if err != nil {
		return nil, err
	}
	types := Package{}
	for _, t := range pkg.Types {
		types[t.Name] = t
	}
	return types, nil
}

// Struct is the declaration of a struct type, nil for what is none.
func (p Package) Struct(name string) *ast.StructType {
	t, ok := p[name]
	if !ok {
		return nil
	}
	s, _ := t.Decl.Specs[0].(*ast.TypeSpec).Type.(*ast.StructType)
	return s
}

// Field is the comment of a field, above it or behind it, as one line.
func (p Package) Field(typeName, field string) string {
	s := p.Struct(typeName)
	if s == nil {
		return ""
	}
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			if name.Name == field {
				return OneLine(f.Doc.Text() + f.Comment.Text())
			}
		}
	}
	return ""
}

// Words are the values of the constants of a text type, in the order of the source.
func (p Package) Words(typeName string) (words []string) {
	t, ok := p[typeName]
	if !ok {
		return nil
	}
	for _, c := range t.Consts {
		for _, s := range c.Decl.Specs {
			for _, v := range s.(*ast.ValueSpec).Values {
				if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if word, err := strconv.Unquote(lit.Value); err == nil {
						words = append(words, word)
					}
				}
			}
		}
	}
	return words
}

// OneLine is a comment as one line.
func OneLine(comment string) string { return strings.Join(strings.Fields(comment), " ") }
