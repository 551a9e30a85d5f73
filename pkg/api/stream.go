package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// stream sends pieces until the caller leaves, the server ends, or the handler returns. An error before the first piece is
// an ordinary error response; after a later one the stream is cut, and the caller resumes.
func (s *Server) stream(handle func(ctx context.Context, out *output, r *http.Request) error) http.Handler {
	return within(s.streams, errTooMany, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.life, cancel)()
		out := &output{w: w, control: http.NewResponseController(w)}
		_ = out.control.SetReadDeadline(time.Time{}) // the request has been read; now the caller only listens
		switch err := handle(ctx, out, r); {
		case err == nil || ctx.Err() != nil:
		case !out.begun:
			writeError(w, err)
		default:
			panic(http.ErrAbortHandler) // cuts the connection, so that the caller does not take this for the end
		}
	})
}

// errTooMany and errMoving tell a caller that enough of a kind are going on.
var (
	errTooMany = &Error{Reason: ReasonBusy, Message: "too many watches, followed logs and sessions", Text: "close some, then try again"}
	errMoving  = &Error{Reason: ReasonBusy, Message: "too many exports and imports at one time", Text: "wait for one to end, then try again"}
)

// within lets only as many requests be served at one time as there are slots; the others are told that it is full.
func within(slots chan struct{}, full *Error, serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			serve(w, r)
		default:
			writeError(w, full)
		}
	})
}

// output is the response of a stream: each piece is sent at once, and must be taken within writeTimeout.
type output struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// begin sends the header.
func (o *output) begin(contentType string) error {
	o.begun = true
	o.w.Header().Set("Content-Type", contentType)
	o.w.WriteHeader(http.StatusOK)
	return o.flush()
}

// send sends one value as a line of JSON.
func (o *output) send(v any) error {
	o.deadline()
	if err := json.NewEncoder(o.w).Encode(v); err != nil {
		return err
	}
	return o.control.Flush()
}

func (o *output) deadline() { _ = o.control.SetWriteDeadline(time.Now().Add(writeTimeout)) }

func (o *output) flush() error {
	o.deadline()
	return o.control.Flush()
}
