package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/go-logr/logr"
)

// newLogger logs to s as format says: text for people, json for programs, auto for what s is. V(1) is shown when verbose.
func newLogger(s *screen, format string, verbose bool) logr.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	if format == "text" || format == "auto" && s.terminal {
		return logr.FromSlogHandler(&peopleHandler{screen: s, level: level, mu: &sync.Mutex{}})
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(s, &slog.HandlerOptions{Level: level, ReplaceAttr: plainAttr}))
}

// plainAttr shows errors and durations as texts.
func plainAttr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case error:
		a.Value = slog.StringValue(v.Error())
	case fmt.Stringer:
		a.Value = slog.StringValue(v.String())
	}
	return a
}

// peopleHandler writes `15:04:05 message key=value`, safe for a terminal.
type peopleHandler struct {
	*screen
	level slog.Level
	attrs []slog.Attr
	mu    *sync.Mutex
}

// Enabled tells whether a level is shown.
func (h *peopleHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// WithGroup leaves groups out: keys are unique.
func (h *peopleHandler) WithGroup(string) slog.Handler { return h }

// WithAttrs adds attributes to every line.
func (h *peopleHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	more.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return &more
}

// Handle writes one line, and a hint in an error on a line of its own.
func (h *peopleHandler) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	message := clean(r.Message)
	if r.Level >= slog.LevelError {
		message = h.red(message)
	}
	fmt.Fprintf(&b, "%s %s", h.dim(r.Time.Local().Format("15:04:05")), message)
	hint := ""
	write := func(a slog.Attr) bool {
		text, helps, _ := strings.Cut(a.Value.Resolve().String(), hintMark)
		hint += helps
		fmt.Fprintf(&b, "  %s%s", h.dim(a.Key+"="), quoteSpaces(clean(text)))
		return true
	}
	for _, a := range h.attrs {
		write(a)
	}
	r.Attrs(write)
	b.WriteByte('\n')
	if hint != "" {
		fmt.Fprintf(&b, "         %s %s\n", h.bold("hint:"), clean(hint))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.Copy(h.Writer, &b)
	return err
}

// quoteSpaces makes the end of a value visible.
func quoteSpaces(text string) string {
	if text == "" || strings.ContainsAny(text, " \n\"") {
		return `"` + strings.ReplaceAll(strings.ReplaceAll(text, "\n", " · "), `"`, `'`) + `"`
	}
	return text
}
