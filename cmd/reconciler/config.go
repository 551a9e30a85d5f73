package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

//go:generate go run -tags pages . -tables ../..

// defaultConfig is the file that is read when none is said, if it is there.
const defaultConfig = "/etc/reconciler/config.yaml"

// settings are the flags of run by what was said of them: on the command line, else in a file, else nowhere. Every flag but those of this one call has a
// key, which is its name without dashes: --manifest-owner, manifestOwner.
type settings struct {
	agentFlags
	flags   *pflag.FlagSet
	sources map[string]string       // by flag: FILE:LINE or --flag; default is not among them
	places  map[string]spec.Problem // by flag: where in a file, or the flag, without what is wrong
	files   []string                // that were read
	readAt  time.Time
}

// callFlags have no key: they are about one call.
var callFlags = []string{"config", "once", "help"}

// newSettings are the flags with their defaults.
func newSettings() *settings {
	s := &settings{flags: pflag.NewFlagSet("run", pflag.ContinueOnError), sources: map[string]string{}, places: map[string]spec.Problem{}, readAt: time.Now().Round(0).UTC()}
	s.agentFlags.add(s.flags)
	return s
}

// settingKey is the key of a flag.
func settingKey(flag string) string {
	words := strings.Split(flag, "-")
	for i, word := range words[1:] {
		words[i+1] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}

// each visits the flags that have a key, in the order of the help.
func (s *settings) each(do func(key string, f *pflag.Flag)) {
	s.flags.SortFlags = false
	s.flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(callFlags, f.Name) {
			do(settingKey(f.Name), f)
		}
	})
}

// flag is that of a key.
func (s *settings) flag(key string) (found *pflag.Flag) {
	s.each(func(k string, f *pflag.Flag) {
		if k == key {
			found = f
		}
	})
	return found
}

// configKeys are how the configuration is read: a key for each flag.
func configKeys() spec.Settings {
	var list []spec.Setting
	newSettings().each(func(key string, f *pflag.Flag) {
		what, doc := pflag.UnquoteUsage(f)
		_, many := f.Value.(pflag.SliceValue)
		set := spec.Setting{
			Name: key, Type: settingType(f, what), Many: many, Default: f.DefValue, Doc: strings.TrimSuffix(doc, "; may be repeated"), Check: checkValue(f.Value),
		}
		if set.Type == spec.SettingDuration {
			set.Default = fmt.Sprint(valueOf(f))
		}
		if word, ok := f.Value.(*format); ok {
			set.Values = word.words
		}
		list = append(list, set)
	})
	return spec.NewSettings(list)
}

// settingType is the form of a flag's value, or of each of them, by its type and by what its help calls it.
func settingType(f *pflag.Flag, what string) spec.SettingType {
	switch f.Value.Type() {
	case "bool":
		return spec.SettingSwitch
	case "int", "uint32":
		return spec.SettingNumber
	case "duration":
		return spec.SettingDuration
	}
	switch {
	case !slices.Contains([]string{"DIR", "FILE", "PROGRAM"}, what):
		return spec.SettingText
	case f.DefValue == "":
		return spec.SettingNoPath
	}
	return spec.SettingPath
}

// loadSettings are those of a command line and the files that it names, or that are there by themselves. Problems of the files are spec.Problems.
func loadSettings(line *pflag.FlagSet) (*settings, error) {
	s := newSettings()
	var failed error
	line.Visit(func(f *pflag.Flag) {
		own := s.flags.Lookup(f.Name)
		if own == nil {
			return // of all verbs
		}
		s.sources[f.Name], s.places[f.Name] = "--"+f.Name, spec.Problem{Path: "--" + f.Name}
		failed = cmp.Or(failed, assign(own.Value, f.Value))
	})
	if failed != nil {
		return nil, failed
	}
	files, err := configFiles(s.config)
	if err != nil {
		return nil, err
	}
	return s, s.read(files, source.ReadTrusted)
}

// assign gives a flag the value of another of its kind.
func assign(to, from pflag.Value) error {
	if list, ok := from.(pflag.SliceValue); ok {
		return to.(pflag.SliceValue).Replace(list.GetSlice())
	}
	return to.Set(from.String())
}

// configFiles are the file that is named, or the default one if it is there, and those in the directory beside it, FILE.d, by name. Which count more stand
// later. /dev/null is none.
func configFiles(file string) (files []string, _ error) {
	switch path := cmp.Or(file, defaultConfig); path {
	case os.DevNull:
		return nil, nil
	default:
		if _, err := os.Stat(path); err == nil || file != "" || !errors.Is(err, fs.ErrNotExist) {
			files = append(files, path)
		}
		file = path
	}
	more, err := os.ReadDir(file + ".d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read %s.d: %w", file, errors.Unwrap(err))
	}
	for _, entry := range more {
		if source.IsManifest(entry.Name()) {
			files = append(files, filepath.Join(file+".d", entry.Name()))
		}
	}
	return files, nil
}

// read takes over what files say that the command line does not.
func (s *settings) read(files []string, readFile func(string) ([]byte, error)) error {
	keys := configKeys()
	var problems spec.Problems
	for _, file := range files {
		data, err := readFile(file)
		if err != nil {
			return err
		}
		said, found := keys.Decode(file, data)
		problems = append(problems, found...)
		for _, one := range said {
			if err := s.say(file, one); err != nil {
				return err
			}
		}
	}
	s.files = files
	return problems.Err()
}

// say takes over one key of a file.
func (s *settings) say(file string, said spec.Said) error {
	f := s.flag(said.Name)
	if strings.HasPrefix(s.sources[f.Name], "--") {
		return nil
	}
	s.sources[f.Name] = file + ":" + strconv.Itoa(said.Line)
	s.places[f.Name] = spec.Problem{File: file, Line: said.Line, Column: said.Column, Path: "spec." + said.Name}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(said.Values)
	}
	return f.Value.Set(said.Values[0])
}

// checkValue says what a flag would refuse, whatever others it has.
func checkValue(v pflag.Value) func(string) error {
	if list, ok := v.(pflag.SliceValue); ok {
		return list.Append
	}
	return v.Set
}

// valueOf is a flag's value as JSON and YAML have it.
func valueOf(f *pflag.Flag) any {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return append([]string{}, list.GetSlice()...)
	}
	text := f.Value.String()
	switch f.Value.Type() {
	case "bool":
		return text == "true"
	case "int", "uint32":
		n, _ := strconv.ParseUint(text, 10, 32)
		return n
	case "duration":
		if d, err := spec.ParseDuration(text); err == nil {
			return d.String()
		}
	}
	return text
}

// shown are the settings as people and programs see them.
func (s *settings) shown() api.Configuration {
	c := api.Configuration{
		APIVersion: spec.APIVersion, Kind: spec.KindAgentConfig, Spec: map[string]any{}, Sources: map[string]string{}, Files: s.files, ReadAt: s.readAt,
	}
	s.each(func(key string, f *pflag.Flag) {
		c.Spec[key], c.Sources[key] = valueOf(f), cmp.Or(s.sources[f.Name], "default")
	})
	return c
}
