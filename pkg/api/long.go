package api

import (
	"context"
	"io"
	"net/http"
	"time"
)

// long answers requests that may take their time, and gives up when the caller leaves or the server ends. They count as streams.
func (s *Server) long(a answer) http.Handler {
	return s.streams.within(errTooMany, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), longTimeout)
		defer cancel()
		defer context.AfterFunc(s.life, cancel)()
		r.Body = &paced{body: r.Body, control: http.NewResponseController(w)}
		v, err := a(s, r.WithContext(ctx))
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		switch {
		case err == nil:
			writeJSON(w, http.StatusOK, v)
		case s.life.Err() != nil:
			writeError(w, errGivenUp)
		case context.Cause(ctx) == errRevoked:
			writeError(w, errRevoked)
		default:
			writeError(w, err)
		}
	})
}

var errGivenUp = &Error{Reason: ReasonInternal, Message: "the agent ends, and gave the request up", Text: "try again when it is back"}

// paced is a body that has to come at a pace: pacePiece within each paceTimeout, whatever time its reader takes in between. With its end
// nothing more is expected of the caller but to wait, and its leaving ends the request's context.
type paced struct {
	body    io.ReadCloser
	control *http.ResponseController
	piece   int           // what is still to come of a piece
	left    time.Duration // and within which time
}

var errTooSlow = &Error{Reason: ReasonTimeout, Message: "the body comes too slowly"}

func (p *paced) Read(b []byte) (int, error) {
	if p.piece <= 0 {
		p.piece, p.left = pacePiece, paceTimeout
	}
	begun := time.Now()
	_ = p.control.SetReadDeadline(begun.Add(p.left)) // what has no deadline is no connection
	n, err := p.body.Read(b[:min(len(b), p.piece)])
	p.piece -= n
	p.left -= time.Since(begun)
	switch {
	case err == io.EOF:
		_ = p.control.SetReadDeadline(time.Time{})
	case err != nil && p.left <= 0:
		err = errTooSlow
	}
	return n, err
}

func (p *paced) Close() error { return p.body.Close() }
