package ocicmd

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

// logger writes lines as logrus does: engines read them.
type logger struct {
	out    io.Writer
	file   *os.File // nil for the standard error
	format string   // text or json
	debug  bool
}

func newLogger(path, format string, debug bool) (*logger, error) {
	if format != "text" && format != "json" {
		return nil, fmt.Errorf("invalid log-format %q, want text or json", format)
	}
	l := &logger{out: os.Stderr, format: format, debug: debug}
	if path == "" {
		return l, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the log: %w", err)
	}
	l.out, l.file = f, f
	return l, nil
}

func (l *logger) write(level, message string) {
	now := time.Now().UTC().Format(time.RFC3339)
	if l.format == "json" {
		line, _ := json.Marshal(struct { // in this order
			Level string `json:"level"`
			Msg   string `json:"msg"`
			Time  string `json:"time"`
		}{level, message, now})
		fmt.Fprintf(l.out, "%s\n", line)
		return
	}
	fmt.Fprintf(l.out, "time=%q level=%s msg=%s\n", now, level, strconv.Quote(message))
}

func (l *logger) logr() logr.Logger { return logr.New(sink{l, ""}) }

// sink makes it a logr.LogSink: what a library tells of by Info is a warning to an engine.
type sink struct {
	*logger
	values string
}

func (sink) Init(logr.RuntimeInfo) {}

func (s sink) Enabled(level int) bool { return level == 0 || s.debug }

func (s sink) Info(level int, msg string, keysAndValues ...any) {
	word := "warning"
	if level > 0 {
		word = "debug"
	}
	s.write(word, msg+s.values+text(keysAndValues))
}

func (s sink) Error(err error, msg string, keysAndValues ...any) {
	s.write("warning", fmt.Sprintf("%s: %v%s%s", msg, err, s.values, text(keysAndValues)))
}

func (s sink) WithValues(keysAndValues ...any) logr.LogSink {
	return sink{s.logger, s.values + text(keysAndValues)}
}

func (s sink) WithName(string) logr.LogSink { return s }

func text(keysAndValues []any) string {
	var b strings.Builder
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		fmt.Fprintf(&b, " %v=%v", keysAndValues[i], keysAndValues[i+1])
	}
	return b.String()
}
