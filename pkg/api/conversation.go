package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// lastWords bounds how long the end of a session may take to be sent to a client that does not read.
const lastWords = time.Second

// outputPiece is how much output is read at a time; less than a frame can hold, because every session keeps it twice.
const outputPiece = 32 << 10

// Why a conversation ends before the process does.
var (
	errClientGone = errors.New("the client has left")
	errAgentEnds  = &Error{Reason: ReasonInternal, Message: "the agent ends, and with it the session", Text: "what `exec` started has ended; try again when the agent is back"}
)

// conversation is a session over a connection. Each of its goroutines ends when session and connection are closed; run waits for all.
type conversation struct {
	session spec.Session
	conn    net.Conn
	log     logr.Logger
	in      *FrameReader
	out     *FrameWriter
	inlet   *inlet
	close   func() // ends the session, and lets nobody wait for input
}

// run passes frames on until the process ends, the client leaves or life ends, whose cause the client is told. There is no deadline: a session may be idle, and a client may be slow.
func (c *conversation) run(life context.Context, begin Begin) {
	c.close = sync.OnceFunc(c.closeSession)
	ctx, end := context.WithCancelCause(context.Background())
	defer context.AfterFunc(life, func() { end(context.Cause(life)) })()
	// An end from outside lets all reads and writes return, so that the goroutines end.
	defer context.AfterFunc(ctx, func() {
		_ = c.conn.SetWriteDeadline(time.Now().Add(lastWords))
		c.close()
	})()
	var input, output sync.WaitGroup
	if c.out.SendJSON(FrameBegin, begin) != nil {
		end(errClientGone)
	}
	output.Go(func() { c.copy(FrameStdout, c.session.Stdout(), end) })
	output.Go(func() { c.copy(FrameStderr, c.session.Stderr(), end) })
	input.Go(func() { end(c.listen(ctx)) })
	input.Go(func() { c.feed(end) })
	output.Wait()
	c.finish(ctx)
	c.close()
	c.conn.Close()
	input.Wait()
	end(nil)
}

func (c *conversation) closeSession() {
	if err := c.session.Close(); err != nil {
		c.log.Error(err, "cannot close a session")
	}
	c.inlet.close()
}

// copy sends output until its end. A nil reader has none.
func (c *conversation) copy(t FrameType, from io.Reader, end context.CancelCauseFunc) {
	if from == nil {
		return
	}
	buffer := make([]byte, outputPiece)
	for {
		n, err := from.Read(buffer)
		if n > 0 && c.out.Send(t, buffer[:n]) != nil {
			end(errClientGone)
			return
		}
		if err != nil {
			return
		}
	}
}

// listen takes the client's frames until it leaves or breaks the rules.
func (c *conversation) listen(ctx context.Context) error {
	for {
		t, payload, err := c.in.Next()
		if err == nil {
			err = c.take(ctx, t, payload)
		}
		switch {
		case errors.Is(err, ErrFrame), errors.Is(err, errWindow):
			return &Error{Reason: ReasonInvalid, Message: err.Error()}
		case err != nil:
			return errClientGone
		}
	}
}

// take takes one frame. Only a broken rule is an error; what the session cannot do is the session's matter.
func (c *conversation) take(ctx context.Context, t FrameType, payload []byte) error {
	switch t {
	case FrameStdin:
		return c.inlet.add(payload)
	case FrameStdinEnd:
		c.inlet.end()
	case FrameResize:
		var size spec.TerminalSize
		if err := json.Unmarshal(payload, &size); err != nil {
			return fmt.Errorf("%w: a size that is none", ErrFrame)
		}
		c.note("resize", c.session.Resize(size))
	case FrameSignal:
		signal := string(payload)
		if _, ok := spec.Signals[signal]; !ok {
			return fmt.Errorf("%w: no signal %.20q", ErrFrame, signal)
		}
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		c.note("signal", c.session.Signal(ctx, signal))
	default:
		return fmt.Errorf("%w: type %#x", ErrFrame, t)
	}
	return nil
}

func (c *conversation) note(verb string, err error) {
	if err != nil {
		c.log.V(1).Info("session cannot do", "verb", verb, "err", err.Error())
	}
}

// feed gives input to the process at its pace. What a process does not want any more is taken and forgotten.
func (c *conversation) feed(end context.CancelCauseFunc) {
	to := c.session.Stdin()
	var input []byte
	for ended := false; ; {
		input, ended = c.inlet.next(input)
		if len(input) == 0 {
			if ended && to != nil {
				_ = to.Close()
			}
			return
		}
		if to != nil {
			if _, err := to.Write(input); err != nil {
				_ = to.Close()
				to = nil
			}
		}
		if c.out.SendTaken(len(input)) != nil {
			end(errClientGone)
			return
		}
	}
}

// finish tells the client how the process ended, or why the session did before. A slow client gets to know when it has read what is before.
func (c *conversation) finish(ctx context.Context) {
	exit, err := c.session.Wait(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, errClientGone) {
		return
	}
	if err != nil {
		_ = c.out.SendJSON(FrameFailed, asError(err))
		return
	}
	_ = c.out.SendJSON(FrameExit, exit)
}
