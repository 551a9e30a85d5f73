package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// newLogger logs to s as format says: text for people, json for programs, journal to the journal, auto for what s is. V(1) is LevelDebug.
func newLogger(s *screen, format string, level slog.Leveler) logr.Logger {
	if format == "auto" && s.isJournal() {
		format = "journal"
	}
	people := &peopleHandler{screen: s, level: level, mu: &sync.Mutex{}}
	switch {
	case format == "journal":
		return logr.FromSlogHandler(newJournalHandler(people))
	case format == "text" || format == "auto" && s.terminal:
		return logr.FromSlogHandler(people)
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(s, &slog.HandlerOptions{Level: level, ReplaceAttr: plainAttr}))
}

// plainAttr shows errors and durations as texts.
func plainAttr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case error:
		a.Value = slog.StringValue(v.Error())
	case time.Duration:
		a.Value = slog.StringValue(v.String())
	}
	return a
}

// peopleHandler writes `15:04:05 message key=value`, safe for a terminal.
type peopleHandler struct {
	*screen
	level slog.Leveler
	attrs []slog.Attr
	mu    *sync.Mutex
}

// Enabled tells whether a level is shown.
func (h *peopleHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithGroup leaves groups out: keys are unique.
func (h *peopleHandler) WithGroup(string) slog.Handler { return h }

// WithAttrs adds attributes to every line.
func (h *peopleHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	more.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return &more
}

// Handle writes one line, and a hint in an error on a line of its own. What an agent does to a container reads as a
// sentence, "web: Start: new manifest", all else as message and key=value.
func (h *peopleHandler) Handle(_ context.Context, r slog.Record) error {
	attrs, order := h.collect(r)
	text, hint, _ := strings.Cut(h.sentence(r, attrs), hintMark)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s", h.dim(r.Time.Local().Format("15:04:05")), text)
	for _, key := range order {
		if value, left := attrs[key]; left {
			fmt.Fprintf(&b, "  %s%s", h.dim(key+"="), quoteSpaces(clean(value)))
		}
	}
	b.WriteByte('\n')
	if hint != "" {
		fmt.Fprintf(&b, "         %s %s\n", h.bold("hint:"), clean(hint))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.Copy(h.Writer, &b)
	return err
}

// collect gives all attributes of a record, with their keys in order.
func (h *peopleHandler) collect(r slog.Record) (attrs map[string]string, order []string) {
	attrs = map[string]string{}
	collect := func(a slog.Attr) bool {
		attrs[a.Key] = a.Value.Resolve().String()
		order = append(order, a.Key)
		return true
	}
	for _, a := range h.attrs {
		collect(a)
	}
	r.Attrs(collect)
	return attrs, order
}

// details are the attributes of an action that people need not see.
var details = []string{"instance", "took", "count", "final"}

// sentence joins name, verb, cause and error, and takes them out of attrs.
func (h *peopleHandler) sentence(r slog.Record, attrs map[string]string) string {
	take := func(key string) string {
		value := clean(attrs[key])
		delete(attrs, key)
		return value
	}
	message := clean(r.Message)
	if verb := take("verb"); verb != "" {
		message = verb
		if r.Level >= slog.LevelError {
			message += " failed"
		}
		for _, key := range details {
			delete(attrs, key)
		}
	}
	if r.Level >= slog.LevelError {
		message = h.red(message)
	}
	if name := take("name"); name != "" {
		message = h.bold(name) + ": " + message
	}
	for _, key := range []string{"cause", "err"} {
		if why := take(key); why != "" {
			message += ": " + why
		}
	}
	return message
}

// quoteSpaces makes the end of a value visible.
func quoteSpaces(text string) string {
	if text == "" || strings.ContainsAny(text, " \n\"") {
		return `"` + strings.ReplaceAll(strings.ReplaceAll(text, "\n", " · "), `"`, `'`) + `"`
	}
	return text
}
