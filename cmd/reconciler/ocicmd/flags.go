package ocicmd

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// flags are those of one verb: each by a long name and perhaps a short one.
type flags struct {
	*flag.FlagSet
	c    *command
	verb verb
	help []string // a line for each
}

func newFlags(c *command, v verb) *flags {
	f := &flags{FlagSet: flag.NewFlagSet(v.name, flag.ContinueOnError), c: c, verb: v}
	f.SetOutput(io.Discard)
	return f
}

// line adds a line of help, for names such as "bundle,b".
func (f *flags) line(names, value, usage string) (long string, rest []string) {
	all := strings.Split(names, ",")
	shown := "--" + all[0]
	for _, short := range all[1:] {
		shown += ", -" + short
	}
	if value != "" {
		shown += " " + value
	}
	f.help = append(f.help, fmt.Sprintf("  %-34s %s", shown, usage))
	return all[0], all[1:]
}

func (f *flags) text(names, value, otherwise, usage string) *string {
	long, rest := f.line(names, value, usage)
	p := f.String(long, otherwise, usage)
	for _, short := range rest {
		f.StringVar(p, short, otherwise, usage)
	}
	return p
}

func (f *flags) yes(names, usage string) *bool {
	long, rest := f.line(names, "", usage)
	p := f.Bool(long, false, usage)
	for _, short := range rest {
		f.BoolVar(p, short, false, usage)
	}
	return p
}

func (f *flags) number(names, usage string) *int {
	long, rest := f.line(names, "N", usage)
	p := f.Int(long, 0, usage)
	for _, short := range rest {
		f.IntVar(p, short, 0, usage)
	}
	return p
}

// list is a flag that can be said several times.
func (f *flags) list(names, value, usage string) *[]string {
	long, rest := f.line(names, value, usage)
	all := &texts{}
	for _, name := range append(rest, long) {
		f.Var(all, name, usage)
	}
	return (*[]string)(all)
}

type texts []string

func (t *texts) String() string     { return strings.Join(*t, ",") }
func (t *texts) Set(s string) error { *t = append(*t, s); return nil }

// said tells whether one of a flag's names was said.
func (f *flags) said(name string) (yes bool) {
	f.Visit(func(have *flag.Flag) { yes = yes || have.Name == name })
	return yes
}

// parse reads the arguments of a verb, of which from least to most stay; most is -1 for any number.
func (f *flags) parse(args []string, least, most int) ([]string, error) {
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		f.usage()
		return nil, errHelp
	}
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: %s --help lists the flags", err, f.verb.name)
	}
	n := f.NArg()
	if n < least || most >= 0 && n > most {
		return nil, fmt.Errorf("%s wants %s, not %d arguments", f.verb.name, f.verb.args, n)
	}
	return f.Args(), nil
}

func (f *flags) usage() {
	fmt.Fprintf(f.c.out, "%s\n\nUsage\n  %s %s [flags] %s\n", f.verb.short, f.c.program(), f.verb.name, f.verb.args)
	if len(f.help) > 0 {
		fmt.Fprintf(f.c.out, "\nFlags\n%s\n", strings.Join(f.help, "\n"))
	}
}
