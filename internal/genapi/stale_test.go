package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// What is committed, and what an agent serves, is what routes, types and comments say now.
func TestFresh(t *testing.T) {
	root := filepath.Join("..", "..")
	document, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(root, readable)); err != nil || string(got) != string(want)+"\n" {
		t.Errorf("%s is stale (%v): run go generate ./pkg/api", readable, err)
	}
	served, err := api.Document()
	if err != nil {
		t.Fatal(err)
	}
	var got, said any
	if err := json.Unmarshal(served, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want, &said); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, said) {
		t.Error("what is served is stale: run go generate ./pkg/api")
	}
}

// A type that cannot be described is an error, and so are two with one name.
func TestUnknownTypes(t *testing.T) {
	type Version struct {
		A string `json:"a"`
	}
	for _, test := range []struct {
		values []any
		want   string
	}{
		{[]any{make(chan int)}, "no schema for chan int"},
		{[]any{struct{ A complex128 }{}}, "has no comment"},
		{[]any{api.Version{}, Version{}}, "have the same name"},
	} {
		s, err := newSchemas(filepath.Join("..", ".."))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range test.values {
			s.of(v)
		}
		if s.err == nil || !strings.Contains(s.err.Error(), test.want) {
			t.Errorf("got %v, want %s", s.err, test.want)
		}
	}
}

// The page for people names every route with the role that it needs.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range api.Routes() {
		if row := "| " + r.Role.String() + " | `" + r.Method + " " + r.Path + "` |"; !strings.Contains(string(page), row) {
			t.Errorf("docs/api.md has no %s", row)
		}
	}
}
