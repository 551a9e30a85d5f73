package criu

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	for name, test := range map[string]struct {
		script string // what criu is, "" for none
		want   string // its version, "" for an error
	}{
		"release":    {"#!/bin/sh\necho Version: 4.2.1\n", "4.2.1"},
		"with git":   {"#!/bin/sh\necho 'Version: 4.1'\necho 'GitID: v4.1-3-gabc'\n", "4.1"},
		"fails":      {"#!/bin/sh\nexit 3\n", ""},
		"no version": {"#!/bin/sh\necho hello\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "criu"), []byte(test.script), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", dir)
			tool, err := Find(t.Context(), "")
			if tool.Version != test.want || (err != nil) != (test.want == "") {
				t.Errorf("Find: got %+v, %v", tool, err)
			}
			if errors.Is(err, ErrNotFound) {
				t.Errorf("a criu that fails is there: %v", err)
			}
		})
	}
}

func TestFindElsewhere(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", t.TempDir())
	program := filepath.Join(dir, "criu")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho Version: 4.2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := locate("", []string{dir + "/none", program}); got != program || err != nil {
		t.Errorf("locate: %q, %v", got, err)
	}
	if tool, err := Find(t.Context(), program); tool != (Tool{program, "4.2"}) || err != nil {
		t.Errorf("Find: %+v, %v", tool, err)
	}
	for _, path := range []string{dir + "/none", dir, "criu"} {
		if tool, err := Find(t.Context(), path); err == nil {
			t.Errorf("Find(%s): %+v", path, tool)
		}
	}
}

func TestFindNone(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := locate("", nil)
	hint, ok := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !errors.Is(err, ErrNotFound) || !ok || hint.Hint() == "" {
		t.Errorf("Find: got %v, want ErrNotFound with a hint", err)
	}
}
