package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// TimeFormat is how a time stands in front of a log line: RFC 3339 in UTC with nanoseconds, always as wide.
const TimeFormat = "2006-01-02T15:04:05.000000000Z"

func (s *Server) logs(ctx context.Context, out *output, r *http.Request) error {
	options, err := ParseLogOptions(r.URL.Query())
	if err != nil {
		return &Error{Reason: ReasonInvalid, Message: err.Error()}
	}
	name := r.PathValue("name")
	if _, err := s.object(name); err != nil {
		return err
	}
	lines, err := s.Logs.Logs(ctx, name, options)
	if err != nil {
		return fmt.Errorf("cannot read the logs of %q: %w", name, err)
	}
	if err := out.begin("application/octet-stream"); err != nil {
		return err
	}
	return out.lines(lines, options)
}

func (o *output) lines(lines func(func(LogLine, error) bool), options LogOptions) (err error) {
	g := &gathering{o: o}
	defer g.end()
	lines(func(line LogLine, lineErr error) bool {
		if err = lineErr; err != nil {
			return false
		}
		err = g.line(line, options.Timestamps)
		return err == nil
	})
	return err
}

// Query is the options as a query string; ParseLogOptions reads it back.
func (o LogOptions) Query() url.Values {
	q := url.Values{}
	for name, on := range map[string]bool{"follow": o.Follow, "previous": o.Previous, "timestamps": o.Timestamps} {
		if on {
			q.Set(name, "1")
		}
	}
	for name, t := range map[string]time.Time{"since": o.Since, "until": o.Until} {
		if !t.IsZero() {
			q.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	if o.Tail >= 0 {
		q.Set("tail", strconv.Itoa(o.Tail))
	}
	if o.Stream != "" {
		q.Set("stream", o.Stream)
	}
	return q
}

// ParseLogOptions reads options from a query string; what is not said is everything from the beginning.
func ParseLogOptions(q url.Values) (LogOptions, error) {
	o := LogOptions{
		Follow: q.Get("follow") == "1", Previous: q.Get("previous") == "1", Timestamps: q.Get("timestamps") == "1",
		Tail: -1, Stream: q.Get("stream"),
	}
	var err error
	for name, t := range map[string]*time.Time{"since": &o.Since, "until": &o.Until} {
		if s := q.Get(name); s != "" {
			if *t, err = time.Parse(time.RFC3339, s); err != nil {
				return o, fmt.Errorf("%s=%q is no RFC 3339 time", name, s)
			}
		}
	}
	if s := q.Get("tail"); s != "" {
		if o.Tail, err = strconv.Atoi(s); err != nil || o.Tail < 0 {
			return o, fmt.Errorf("tail=%q is no number of lines", s)
		}
	}
	switch o.Stream {
	case "", "stdout", "stderr":
		return o, nil
	}
	return o, fmt.Errorf("stream=%q is neither stdout nor stderr", o.Stream)
}
