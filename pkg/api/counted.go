package api

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// counted tells Config.Answered of each request: what takes long, and streams, are answered when they begin.
func (s *Server) counted(next http.Handler) http.Handler {
	if s.Answered == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &answering{ResponseWriter: w, began: time.Now(), tell: func(status int, took time.Duration) {
			s.Answered(callerOf(r).Role.String(), status, took)
		}}
		defer c.begins(http.StatusOK)
		next.ServeHTTP(c, r)
	})
}

// answering is a response that tells once when it begins.
type answering struct {
	http.ResponseWriter
	began time.Time
	tell  func(status int, took time.Duration) // nil when it was told
}

func (a *answering) begins(status int) {
	if a.tell != nil {
		a.tell(status, time.Since(a.began))
		a.tell = nil
	}
}

// WriteHeader begins the answer.
func (a *answering) WriteHeader(status int) {
	a.begins(status)
	a.ResponseWriter.WriteHeader(status)
}

// Write begins the answer, if nobody said its status.
func (a *answering) Write(p []byte) (int, error) {
	a.begins(http.StatusOK)
	return a.ResponseWriter.Write(p)
}

// Hijack begins a session.
func (a *answering) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.begins(http.StatusSwitchingProtocols)
	}
	return conn, buffered, err
}

// Unwrap is for http.ResponseController.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }
