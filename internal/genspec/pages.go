package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// intro is the reference page above its tables.
//
//go:embed intro.md
var intro []byte

// pages are the files made from the tree of fields, by path below the repository.
func pages(root string) map[string][]byte {
	return map[string][]byte{
		filepath.Join(root, "manifests", ".schema.json"): spec.Schema(),
		filepath.Join(root, "docs", "manifest.md"):       reference(),
	}
}

// reference is the page of all keys: one table for each object.
func reference() []byte {
	var b bytes.Buffer
	b.Write(intro)
	for _, of := range []struct {
		title, path string
		deep        bool
	}{
		{"Container", spec.KindContainer, true},
		{"Group", spec.KindGroup, false},
		{"Group: spec", spec.KindGroup + ".spec", false},
		{"Job", spec.KindJob, false},
		{"Job: spec", spec.KindJob + ".spec", false},
		{"Job: spec.schedule", spec.KindJob + ".spec.schedule", false},
		{"Config", spec.KindConfig, false},
		{"Config: spec", spec.KindConfig + ".spec", false},
		{"Config: spec.files", spec.KindConfig + ".spec.files", false},
	} {
		object, _ := spec.Explain(of.path)
		section(&b, of.title, object, of.deep)
	}
	return b.Bytes()
}

// section is the table of one object and, if deep, those of the objects below it.
func section(b *bytes.Buffer, title string, object spec.Field, deep bool) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", title, object.Doc)
	b.WriteString("| key | value | default | change | meaning | kernel file |\n|---|---|---|---|---|---|\n")
	for _, f := range object.Fields {
		fmt.Fprintln(b, row(f))
	}
	for _, f := range object.Fields {
		if deep && len(f.Fields) > 0 {
			section(b, f.Path, f, true)
		}
	}
}

func row(f spec.Field) string {
	meaning, file := kernelFile(f.Doc)
	cells := []string{key(f), value(f), code(f.Default), f.Class, meaning, code(file)}
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// key is the last part of a field's path, linked to its own table if it has one.
func key(f spec.Field) string {
	name := f.Path[strings.LastIndexByte(f.Path, '.')+1:]
	if len(f.Fields) > 0 {
		return fmt.Sprintf("[`%s`](#%s)", name, strings.ToLower(strings.ReplaceAll(f.Path, ".", "")))
	}
	return code(name)
}

// value is the type with what bounds it.
func value(f spec.Field) string {
	s := f.Type
	switch {
	case f.Values != nil:
		s = strings.Join(f.Values, ", ")
	case f.Min != "" && f.Max != "":
		s += ", " + f.Min + " to " + f.Max
	case f.Min != "":
		s += ", at least " + f.Min
	case f.Max != "":
		s += ", at most " + f.Max
	}
	if f.Required {
		s += ", **required**"
	}
	return s
}

var kernelFileSentence = regexp.MustCompile(` *Kernel file ([a-z_.]+)\.`)

// kernelFile takes the sentence that names the kernel's file out of a comment.
func kernelFile(doc string) (meaning, file string) {
	m := kernelFileSentence.FindStringSubmatch(doc)
	if m == nil {
		return doc, ""
	}
	return strings.Replace(doc, m[0], "", 1), m[1]
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
