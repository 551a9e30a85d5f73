package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
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
	for _, of := range sections {
		object, _ := spec.Explain(of.path)
		kind, _, _ := strings.Cut(of.path, ".")
		section(&b, of.title, kind, object)
	}
	return b.Bytes()
}

// sections are the tables of the page; that of Container has one below it for each of its objects.
var sections = []struct{ title, path string }{
	{"Container", spec.KindContainer},
	{"Group", spec.KindGroup},
	{"Group: spec", spec.KindGroup + ".spec"},
	{"Job", spec.KindJob},
	{"Job: spec", spec.KindJob + ".spec"},
	{"Job: spec.schedule", spec.KindJob + ".spec.schedule"},
	{"Config", spec.KindConfig},
	{"Config: spec", spec.KindConfig + ".spec"},
	{"Config: spec.files", spec.KindConfig + ".spec.files"},
}

// section is the table of one object of a kind and, of a container, those of the objects below it.
func section(b *bytes.Buffer, title, kind string, object spec.Field) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", title, object.Doc)
	b.WriteString("| key | value | default | change | meaning | kernel file |\n|---|---|---|---|---|---|\n")
	for _, f := range object.Fields {
		fmt.Fprintln(b, row(kind, f))
	}
	for _, f := range object.Fields {
		if kind == spec.KindContainer && len(f.Fields) > 0 {
			section(b, f.Path, kind, f)
		}
	}
}

func row(kind string, f spec.Field) string {
	meaning, file := kernelFile(f.Doc)
	cells := []string{key(kind, f), value(f), code(f.Default), f.Class, meaning, code(file)}
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// key is the last part of a field's path, linked to its own table, or to a container's where the words are the same.
func key(kind string, f spec.Field) string {
	name := f.Path[strings.LastIndexByte(f.Path, '.')+1:]
	anchor := strings.ToLower(strings.ReplaceAll(f.Path, ".", ""))
	if slices.ContainsFunc(sections, func(of struct{ title, path string }) bool { return of.path == kind+"."+f.Path }) {
		if kind != spec.KindContainer {
			anchor = strings.ToLower(kind) + "-" + anchor
		}
		return fmt.Sprintf("[`%s`](#%s)", name, anchor)
	}
	if of, _ := spec.Explain(spec.KindContainer + "." + f.Path); len(f.Fields) > 0 && len(of.Fields) > 0 {
		return fmt.Sprintf("[`%s`](#%s)", name, anchor)
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
