package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// opening begins a session as a request asks for. Without a session it has been detached.
type opening func(s *Server, ctx context.Context, r *http.Request) (spec.Session, Begin, error)

// session serves requests that become sessions. They count as streams. An error before the session is an ordinary error response.
func (s *Server) session(open opening) http.Handler {
	return s.streams.within(errTooMany, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		session, begin, err := open(s, ctx, r)
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		switch {
		case err != nil:
			writeError(w, err)
		case session == nil:
			writeJSON(w, http.StatusOK, begin)
		default:
			if record := recordOf(r.Context()); record != nil {
				record.Status = http.StatusSwitchingProtocols
				s.conclude(record)
			}
			s.converse(r.Context(), w, session, begin)
		}
	})
}

// converse takes the connection over and serves the session until its end, which is the connection's too. It ends with the server, and with ctx.
func (s *Server) converse(ctx context.Context, w http.ResponseWriter, session spec.Session, begin Begin) {
	defer session.Close()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.Log.Error(err, "session has no connection")
		return
	}
	defer conn.Close()
	if err := switchProtocols(conn, w.Header().Get(requestID)); err != nil {
		return
	}
	c := &conversation{
		session: session, conn: conn, log: s.Log, in: NewFrameReader(buffered.Reader), out: NewFrameWriter(conn), inlet: newInlet(),
	}
	life, end := context.WithCancelCause(context.Background())
	defer context.AfterFunc(s.life, func() { end(errAgentEnds) })()
	defer context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })()
	c.run(life, begin)
	end(nil)
}

func switchProtocols(conn net.Conn, id string) error {
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n", SessionProtocol, requestID, id)
	return err
}

// exec starts a further process. A detached one needs no session.
func (s *Server) exec(ctx context.Context, r *http.Request) (spec.Session, Begin, error) {
	var e spec.Exec
	if err := readBody(r, &e); err != nil {
		return nil, Begin{}, err
	}
	if !e.Detach {
		if err := wantsSession(r); err != nil {
			return nil, Begin{}, err
		}
	}
	object, err := s.object(r.PathValue("name"))
	if err != nil {
		return nil, Begin{}, err
	}
	session, err := s.Agent.Exec(ctx, object.Metadata.Name, e)
	if err != nil || !e.Detach {
		return session, beginOf(session), err
	}
	begin := Begin{Pid: pidOf(session)}
	return nil, begin, session.Close()
}

func (s *Server) attach(ctx context.Context, r *http.Request) (spec.Session, Begin, error) {
	if err := errors.Join(wantsSession(r), readBody(r, &struct{}{})); err != nil {
		return nil, Begin{}, err
	}
	object, err := s.object(r.PathValue("name"))
	if err != nil {
		return nil, Begin{}, err
	}
	session, err := s.Agent.Attach(ctx, object.Metadata.Name)
	return session, beginOf(session), err
}

func beginOf(session spec.Session) Begin {
	if session == nil {
		return Begin{}
	}
	return Begin{
		Pid: pidOf(session), Stdin: session.Stdin() != nil, Stdout: session.Stdout() != nil, Stderr: session.Stderr() != nil,
	}
}

func pidOf(session spec.Session) int {
	if s, ok := session.(interface{ Pid() int }); ok {
		return s.Pid()
	}
	return 0
}

// wantsSession tells whether a request asks to become a session.
func wantsSession(r *http.Request) error {
	if strings.EqualFold(r.Header.Get("Upgrade"), SessionProtocol) && strings.EqualFold(r.Header.Get("Connection"), "Upgrade") {
		return nil
	}
	return &Error{
		Reason:  ReasonInvalid,
		Message: fmt.Sprintf("%s needs the headers Connection: Upgrade and Upgrade: %s", r.URL.Path, SessionProtocol),
		Text:    "use `reconciler exec` or `reconciler attach`; client and agent may differ in version",
	}
}
