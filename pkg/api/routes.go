package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// routes serves every path of the API, and what hangs beside it.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, route := range routes() {
		h := route.serve(s)
		if !route.archive {
			h = http.MaxBytesHandler(h, maxBody)
		}
		s.handle(mux, Mount{route.pattern(), route.role, h})
	}
	for _, m := range s.Mounts {
		s.handle(mux, m)
	}
	mux.Handle("/", http.MaxBytesHandler(s.once(noRoute), maxBody))
	return mux
}

// handle lets those with a role through, and has written down what changes something or is admins' alone, refused or not.
func (s *Server) handle(mux *http.ServeMux, m Mount) {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e := refused(r, m.Role); e != nil {
			if record := recordOf(r.Context()); record != nil {
				record.Refused = true
			}
			writeError(w, e)
			return
		}
		r, over := s.untilRevoked(r, m.Role)
		defer over()
		m.Handler.ServeHTTP(w, r)
	})
	if s.Audit != nil && (m.Role > Read || !strings.HasPrefix(m.Pattern, http.MethodGet+" ")) {
		h = s.audited(h)
	}
	mux.Handle(m.Pattern, h)
}

// refused is why a caller may not ask for what needs a role; nil: it may.
func refused(r *http.Request, needed Role) *Error {
	if peer := callerOf(r); peer.Role < needed {
		return peer.refused(needed, r.Method+" "+r.URL.Path)
	}
	return refusedBrowser(r, needed)
}

// answer computes the one JSON value of a response.
type answer func(*Server, *http.Request) (any, error)

// once answers with one value, within requestTimeout.
func (s *Server) once(a answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		v, err := a(s, r.WithContext(ctx))
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, v)
	})
}

// either answers, or with watch=1 in the query streams.
type either struct{ once, watch http.Handler }

func (e either) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "1" {
		e.watch.ServeHTTP(w, r)
		return
	}
	e.once.ServeHTTP(w, r)
}

func noRoute(_ *Server, r *http.Request) (any, error) {
	return nil, &Error{
		Reason:  ReasonNotFound,
		Message: fmt.Sprintf("no route %s %q", r.Method, r.URL.Path),
		Text:    "this agent speaks /" + APIVersion + "; client and agent may differ in version",
	}
}

// readBody decodes an optional, strict JSON body.
func readBody(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		_, err = d.Token()
	}
	switch tooLarge, _ := errors.AsType[*http.MaxBytesError](err); {
	case errors.Is(err, io.EOF) && d.InputOffset() > 0:
		if record := recordOf(r.Context()); record != nil {
			record.Body, err = json.Marshal(withoutSecrets(into))
			return err
		}
		return nil
	case errors.Is(err, io.EOF):
		return nil
	case tooLarge != nil:
		return &Error{Reason: ReasonTooLarge, Message: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
	case err == nil:
		return &Error{Reason: ReasonInvalid, Message: "the body holds more than one value"}
	default:
		return &Error{Reason: ReasonInvalid, Message: "the body is no such JSON: " + err.Error()}
	}
}
