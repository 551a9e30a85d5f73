package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// talk joins this process's input, output and signals with a session.
type talk struct {
	*app
	session *client.Session
	console *console    // whose size the session follows; nil for none
	raw     bool        // every key goes to the session
	leave   *detachKeys // that leave it, nil for none
	input   bool
	// forward sends signals on to the process. Otherwise they end the talk.
	forward bool
	left    bool // it was left, and the process runs on
}

// The signals that go to a process, or end a talk with it.
var talkSignals = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}

// The signals besides that a talk with a terminal wants to know of. One without dies of SIGPIPE as everything in a pipe does; with a
// raw terminal it must not.
var terminalSignals = []os.Signal{unix.SIGWINCH, unix.SIGCONT, unix.SIGPIPE}

// run talks until the process ends, whose code is that of the error, or somebody leaves. The terminal is given back in any case.
func (t *talk) run(ctx context.Context) error {
	defer t.session.Close()
	signals := make(chan os.Signal, 8)
	for _, s := range talkSignals {
		if !signal.Ignored(s) { // as under nohup(1), and in the background of a script
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	if t.console != nil {
		signal.Notify(signals, terminalSignals...)
		defer t.console.restore()
		if err := t.takeKeys(); err != nil {
			return err
		}
	}
	left := make(chan struct{})
	if t.input {
		go t.send(left) // nobody can wait for the end of a read from a terminal; it ends with the program
	}
	ended := make(chan error, 1)
	go func() { ended <- t.receive(ctx) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-left:
			t.left = true
			t.session.Close()
			<-ended
			return nil
		case s := <-signals:
			if err := t.signal(ctx, s.(unix.Signal)); err != nil {
				t.session.Close()
				<-ended
				return err
			}
		}
	}
}

// takeKeys takes the terminal over, and says how to get it back.
func (t *talk) takeKeys() error {
	if !t.raw {
		return nil
	}
	err := t.console.raw()
	if err == nil && t.leave != nil {
		fmt.Fprintf(t.err, "%s leave the container\r\n", t.leave)
	}
	return err
}

// signal does what a signal asks for; an error ends the talk.
func (t *talk) signal(ctx context.Context, s unix.Signal) error {
	switch s {
	case unix.SIGWINCH:
		return t.session.Resize(t.console.size())
	case unix.SIGCONT:
		if t.raw {
			return t.console.raw()
		}
		return nil
	case unix.SIGPIPE:
		return nil // the write that caused it fails
	}
	if t.forward {
		return t.session.Signal(ctx, unix.SignalName(s))
	}
	return &exit{code: 128 + int(s)}
}

// send passes the input on until its end, or until left is closed because the keys to leave were pressed.
func (t *talk) send(left chan<- struct{}) {
	defer t.console.guard()
	to := t.session.Stdin()
	if t.leave == nil {
		_, _ = io.Copy(to, t.in) // it fails when the process has ended, which receive notices
		_ = to.Close()
		return
	}
	buffer := make([]byte, 4096)
	for {
		n, err := t.in.Read(buffer)
		keys, leave := t.leave.pass(buffer[:n])
		if _, lost := to.Write(keys); lost != nil {
			return
		}
		if leave {
			close(left)
			return
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// receive passes the output on until its end, then waits for that of the process.
func (t *talk) receive(ctx context.Context) error {
	defer t.console.guard()
	var streams sync.WaitGroup
	lost := make([]error, 2)
	for i, stream := range []struct {
		to   io.Writer
		from io.Reader
	}{{t.out.Writer, t.session.Stdout()}, {t.err.Writer, t.session.Stderr()}} {
		if stream.from == nil {
			continue
		}
		streams.Go(func() {
			defer t.console.guard()
			if lost[i] = copyOutput(stream.to, stream.from); lost[i] != nil {
				t.session.Close()
			}
		})
	}
	streams.Wait()
	if err := errors.Join(lost...); err != nil {
		return err
	}
	end, err := t.session.Wait(ctx)
	if err != nil {
		return err
	}
	return exitOf(end)
}

// copyOutput tells when output cannot be written. That there is no more to read is no error: the session knows why.
func copyOutput(to io.Writer, from io.Reader) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, lost := to.Write(buffer[:n]); lost != nil {
				return fmt.Errorf("cannot write the output of the command: %w", lost)
			}
		}
		if err != nil {
			return nil
		}
	}
}

// exitOf makes the code of a process this one's.
func exitOf(e spec.Exit) error {
	switch {
	case e.Reason == spec.ExitUnknown || e.Code < 0:
		return errors.New("nobody saw how the command ended")
	case e.Code == 0:
		return nil
	default:
		return &exit{code: e.Code}
	}
}
