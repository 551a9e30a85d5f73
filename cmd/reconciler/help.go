package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// exitKey is the annotation that holds the exit codes of a verb.
const exitKey = "exit codes"

// exits documents the exit codes of a verb, one a line: "0  all valid".
func exits(codes ...string) map[string]string {
	return map[string]string{exitKey: strings.Join(codes, "\n")}
}

// The exit codes that most verbs share.
var plainExits = exits("0  done", "1  error, usage included")

// help prints what a command is for, how it is used, and its exit codes.
func (a *app) help(cmd *cobra.Command, _ []string) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	fmt.Fprintln(a.out, strings.TrimSpace(text))
	a.section("Usage", usageLine(cmd))
	a.section("Examples", cmd.Example)
	for _, group := range cmd.Groups() {
		a.section(group.Title, commandLines(cmd, group.ID))
	}
	a.section("Subcommands", subcommandLines(cmd))
	a.section("Flags", cmd.LocalFlags().FlagUsagesWrapped(a.out.widthOr(100)))
	if cmd.HasParent() {
		a.section("Global flags", cmd.InheritedFlags().FlagUsagesWrapped(a.out.widthOr(100)))
	}
	codes, ok := cmd.Annotations[exitKey]
	if !ok {
		codes = plainExits[exitKey]
	}
	a.section("Exit codes", codes)
}

func (a *app) section(title, body string) {
	body = strings.Trim(body, "\n")
	if body == "" {
		return
	}
	fmt.Fprintf(a.out, "\n%s:\n", a.out.bold(title))
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, "  ") && line != "" {
			line = "  " + line
		}
		fmt.Fprintln(a.out, line)
	}
}

func usageLine(cmd *cobra.Command) string {
	verbs := cmd.CommandPath() + " VERB [flags]"
	switch {
	case !cmd.HasAvailableSubCommands():
		return cmd.UseLine()
	case cmd.HasParent() && cmd.Runnable():
		return cmd.UseLine() + "\n" + verbs
	}
	return verbs
}

func commandLines(cmd *cobra.Command, group string) string {
	var b strings.Builder
	for _, c := range cmd.Commands() {
		if c.GroupID == group && (c.IsAvailableCommand() || c.Name() == "help") {
			fmt.Fprintf(&b, "%-11s %s\n", c.Name(), c.Short)
		}
	}
	return b.String()
}

func subcommandLines(cmd *cobra.Command) string {
	if len(cmd.Groups()) > 0 {
		return ""
	}
	return commandLines(cmd, "")
}
