package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// format is the -o flag of a verb: one of its words.
type format struct {
	word  string
	words []string
}

func (f *format) String() string { return f.word }
func (f *format) Type() string   { return "FORMAT" }

func (f *format) Set(word string) error {
	if !slices.Contains(f.words, word) {
		return fmt.Errorf("want %s", strings.Join(f.words, ", "))
	}
	f.word = word
	return nil
}

// outputFlag adds -o with its words, the first being the default.
func outputFlag(cmd *cobra.Command, words ...string) *format {
	f := &format{words[0], words}
	cmd.Flags().VarP(f, "output", "o", "one of "+strings.Join(words, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	return f
}

// encode writes v as json or yaml. Both escape control characters.
func (a *app) encode(word string, v any) error {
	if word == "yaml" {
		return a.encodeYAML(v)
	}
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// encodeYAML writes what v is in JSON as YAML, keys sorted. The reader takes JSON, whole numbers of 64 bits included, as YAML is a superset of it.
func (a *app) encodeYAML(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return err
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if err := e.Encode(tree); err != nil {
		return err
	}
	_, err = a.out.Write(out.Bytes())
	return err
}

// encodeLine writes v as one line of JSON.
func (a *app) encodeLine(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
