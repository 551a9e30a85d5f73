package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"time"
)

// streaming sends the pieces of a response.
type streaming func(s *Server, ctx context.Context, out *output, r *http.Request) error

// stream sends pieces until the caller leaves, the server ends, or the handler returns. An error before the first piece is an ordinary
// error response; after a later one the stream is cut, and the caller resumes. The last line of a stream of lines says why.
func (s *Server) stream(handle streaming) http.Handler {
	return s.streams.within(errTooMany, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.life, cancel)()
		out := &output{w: w, control: http.NewResponseController(w)}
		_ = out.control.SetReadDeadline(time.Time{}) // the request has been read; now the caller only listens
		switch err := handle(s, ctx, out, r); {
		case context.Cause(ctx) == errRevoked:
			out.revoked()
		case err == nil || ctx.Err() != nil:
		case !out.begun:
			writeError(w, err)
		default:
			out.why(err)
			s.Log.V(verbosity(err)).Info("a stream was cut", "path", r.URL.Path, "pid", callerOf(r).Pid, "err", err.Error())
			panic(http.ErrAbortHandler) // cuts the connection, so that the caller does not take this for the end
		}
	})
}

// errTooMany and errMoving tell a caller that enough of a kind are going on.
var (
	errTooMany = &Error{Reason: ReasonBusy, Message: "too many watches, followed logs and sessions", Text: "close some, then try again"}
	errMoving  = &Error{Reason: ReasonBusy, Message: "too many exports and imports at one time", Text: "wait for one to end, then try again"}
)

// verbosity is 0 for readers that were too slow, whom somebody will ask for, and 1 for those that have left in the middle.
func verbosity(err error) int {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrExpired) {
		return 0
	}
	return 1
}

// output is the response of a stream: each piece is sent at once, and must be taken within writeTimeout.
type output struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
	values  bool // lines of JSON
}

// begin sends the header.
func (o *output) begin(contentType string) error {
	o.begun, o.values = true, contentType == contentLines
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

// why tells the reader of lines why there are no more. A reader who does not read is not waited for a second time.
func (o *output) why(err error) {
	if o.values && !errors.Is(err, os.ErrDeadlineExceeded) {
		_ = o.send(Failure{asError(err)})
	}
}

// revoked tells a caller that may not ask any more.
func (o *output) revoked() {
	if !o.begun {
		writeError(o.w, errRevoked)
		return
	}
	o.why(errRevoked)
}

func (o *output) deadline() { _ = o.control.SetWriteDeadline(time.Now().Add(writeTimeout)) }

func (o *output) flush() error {
	o.deadline()
	return o.control.Flush()
}
