package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// version is set by the linker; a plain `go build` leaves what the module and its repository say.
var version = ""

type build struct {
	Version  string       `json:"version"`
	Revision string       `json:"revision,omitzero"`
	Time     string       `json:"time,omitzero"`
	Modified bool         `json:"modified,omitzero"`
	Go       string       `json:"go"`
	Platform string       `json:"platform"`
	Agent    *api.Version `json:"agent,omitempty"`
}

func newVersion(a *app) *cobra.Command {
	var format *format
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of this binary and of the agent",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := buildInfo()
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
			defer cancel()
			if agent, err := a.client().Version(ctx); err == nil {
				b.Agent = &agent
			}
			if format.word != "text" {
				return a.encode(format.word, b)
			}
			fmt.Fprintf(a.out, "reconciler %s %s %s\n", b.Version, b.Go, b.Platform)
			if b.Agent != nil {
				fmt.Fprintf(a.out, "agent      %s pid %d, up %s\n", clean(b.Agent.Version), b.Agent.Pid, age(b.Agent.StartedAt))
			}
			return nil
		},
	}
	format = outputFlag(cmd, "text", "json", "yaml")
	return cmd
}

// buildInfo is what the linker and the Go tool wrote into this binary.
func buildInfo() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
