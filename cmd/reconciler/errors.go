package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Exit codes; they are an interface and do not change.
const (
	exitOK          = 0
	exitError       = 1
	exitDifferences = 2
	exitTimeout     = 124 // as timeout(1) has it
)

// exit ends a verb with a code. Err, if any, is reported first.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// hinted is an error with one action that helps.
type hinted struct {
	error
	hint string
}

func (h *hinted) Hint() string  { return h.hint }
func (h *hinted) Unwrap() error { return h.error }

func withHint(err error, hint string) error { return &hinted{err, hint} }

// usage is a wrong command line: what is wrong, and where to read more.
func usage(cmd *cobra.Command, err error) error {
	return withHint(err, fmt.Sprintf("see `%s --help`", cmd.CommandPath()))
}

// report shows an error to people and turns it into the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	code := exitError
	if e, ok := errors.AsType[*exit](err); ok {
		code = e.code
		if e.err == nil {
			return code
		}
	}
	if problems, ok := errors.AsType[spec.Problems](err); ok {
		a.printProblems(problems)
		return code
	}
	text, hint, _ := strings.Cut(err.Error(), hintMark)
	fmt.Fprintf(a.err, "%s %s\n", a.err.red("error:"), clean(text))
	if hint = cmp.Or(hint, hintOf(err)); hint != "" {
		fmt.Fprintf(a.err, "%s %s\n", a.err.bold("hint:"), clean(hint))
	}
	return code
}

// hintMark begins the hint in errors that carry one in their text.
const hintMark = "\nhint: "

func hintOf(err error) string {
	h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !ok {
		return ""
	}
	return h.Hint()
}

// firstError is err, or what f returns when there is none.
func firstError(err error, f func() error) error {
	if err != nil {
		return err
	}
	return f()
}
