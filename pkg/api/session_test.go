package api_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// raw is a session spoken frame by frame.
type raw struct {
	*testing.T
	conn net.Conn
	in   *api.FrameReader
	out  *api.FrameWriter
}

// upgrade asks for a session with the request's body.
func upgrade(t *testing.T, path, verb, body string) (*raw, *http.Response) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /v1/containers/web/%s HTTP/1.1\r\nHost: agent\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: %d\r\n\r\n%s",
		verb, api.SessionProtocol, len(body), body)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &raw{t, conn, api.NewFrameReader(reader), api.NewFrameWriter(conn)}, response
}

// begin starts a command and reads the first frame.
func begin(t *testing.T, path string, e spec.Exec) *raw {
	t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	s, response := upgrade(t, path, "exec", string(body))
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Upgrade") != api.SessionProtocol {
		t.Fatalf("got %+v", response)
	}
	s.want(api.FrameBegin, `"stdout":true`)
	return s
}

// want reads frames until one of a type, which must hold a text.
func (s *raw) want(want api.FrameType, text string) {
	s.Helper()
	for {
		t, payload, err := s.in.Next()
		switch {
		case err != nil:
			s.Fatalf("the connection ends with %v before frame %#x", err, want)
		case t == want && strings.Contains(string(payload), text):
			return
		case t == want:
			s.Fatalf("frame %#x holds %q, want %q", t, payload, text)
		}
	}
}

// over reads until the connection has ended.
func (s *raw) over() {
	s.Helper()
	for {
		if _, _, err := s.in.Next(); err != nil {
			return
		}
	}
}

func running(t *testing.T) (*apitest.Agent, string) {
	agent := apitest.New()
	agent.Put(object("web"))
	return agent, serve(t, agent)
}

func TestSessionRefusals(t *testing.T) {
	agent, path := running(t)
	c := httpClient(path)
	for name, test := range map[string]refusal{
		"exec without upgrade":   {"POST", "/v1/containers/web/exec", `{"command":["ls"]}`, 400, api.ReasonInvalid},
		"attach without upgrade": {"POST", "/v1/containers/web/attach", "", 400, api.ReasonInvalid},
		"unknown field":          {"POST", "/v1/containers/web/exec", `{"cmd":["ls"],"detach":true}`, 400, api.ReasonInvalid},
		"nobody":                 {"POST", "/v1/containers/nobody/exec", `{"command":["ls"],"detach":true}`, 404, api.ReasonNotFound},
		"no command":             {"POST", "/v1/containers/web/exec", `{"command":["/nowhere"],"detach":true}`, 422, api.ReasonCommandNotFound},
	} {
		t.Run(name, func(t *testing.T) { test.check(t, c) })
	}
	for name, test := range map[string]struct {
		verb, body string
		status     int
	}{
		"attach to no process": {"attach", "", 409},
		"attach with a body":   {"attach", `{"stdin":true}`, 400},
		"no JSON":              {"exec", "{", 400},
		"no such program":      {"exec", `{"command":["/nowhere"]}`, 422},
	} {
		_, response := upgrade(t, path, test.verb, test.body)
		if e := problem(response); response.StatusCode != test.status || e.Message == "" {
			t.Errorf("%s: got %d %s", name, response.StatusCode, e)
		}
	}
	if n := len(agent.Sessions()); n != 0 {
		t.Errorf("%d sessions came of what was refused", n)
	}
}

// A client that breaks the rules is told which, and its process ends.
func TestSessionRules(t *testing.T) {
	agent, path := running(t)
	for name, test := range map[string]struct {
		send func(s *raw) error
		text string
	}{
		"a frame of the agent's": {func(s *raw) error { return s.out.Send(api.FrameStdout, nil) }, "type 0x82"},
		"a large frame":          {func(s *raw) error { _, err := s.conn.Write([]byte{1, 0, 1, 0, 1}); return err }, "65537 bytes"},
		"no size":                {func(s *raw) error { return s.out.Send(api.FrameResize, []byte("large")) }, "a size that is none"},
		"no signal":              {func(s *raw) error { return s.out.Send(api.FrameSignal, []byte("SIGDANCE")) }, "SIGDANCE"},
		"more than the window": {func(s *raw) error {
			for range api.InputWindow/api.MaxPayload + 8 {
				if err := s.out.Send(api.FrameStdin, make([]byte, api.MaxPayload)); err != nil {
					return nil // it has been hung up on
				}
			}
			return nil
		}, "window"},
	} {
		s := begin(t, path, spec.Exec{Command: []string{"sleep", "1000"}, Stdin: true})
		if err := test.send(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.want(api.FrameFailed, test.text)
		s.over()
		sessions := agent.Sessions()
		<-sessions[len(sessions)-1].Ended()
	}
}

// A client that does not read holds up its own process and nobody else, for as long as it likes, and then gets everything.
func TestSessionSlowClient(t *testing.T) {
	_, path := running(t)
	slow := begin(t, path, spec.Exec{Command: []string{"sh", "-c", "head -c 8388608 /dev/zero; exit 9"}})
	time.Sleep(100 * time.Millisecond) // its output piles up
	quick := begin(t, path, spec.Exec{Command: []string{"true"}})
	quick.want(api.FrameExit, `"code":0`)
	total := 0
	for {
		frame, payload, err := slow.in.Next()
		if err != nil {
			t.Fatal(err)
		}
		if frame == api.FrameExit {
			if !strings.Contains(string(payload), `"code":9`) {
				t.Errorf("got %s", payload)
			}
			break
		}
		total += len(payload)
	}
	if total != 8<<20 {
		t.Errorf("got %d bytes", total)
	}
}

// A client that is gone ends its process, also in the middle of input and output.
func TestSessionClientGone(t *testing.T) {
	agent, path := running(t)
	for _, command := range []string{"sleep 1000", "yes", "cat"} {
		s := begin(t, path, spec.Exec{Command: []string{"sh", "-c", command + " & wait"}, Stdin: true})
		_ = s.out.Send(api.FrameStdin, make([]byte, api.MaxPayload))
		s.conn.Close()
	}
	for _, process := range agent.Sessions() {
		<-process.Ended()
	}
}

// There are only so many sessions at a time, and an ended one makes room.
func TestSessionsAreBounded(t *testing.T) {
	_, path := running(t)
	var open []*raw
	for {
		s, response := upgrade(t, path, "exec", `{"command":["cat"],"stdin":true}`)
		if response.StatusCode == http.StatusServiceUnavailable {
			break
		}
		if open = append(open, s); len(open) > 1000 {
			t.Fatal("no bound")
		}
	}
	if _, err := httpClient(path).Get("http://agent/v1/version"); err != nil {
		t.Errorf("other requests do not get through: %v", err)
	}
	if err := open[0].out.Send(api.FrameStdinEnd, nil); err != nil {
		t.Fatal(err)
	}
	open[0].want(api.FrameExit, `"code":0`)
	open[0].over()
	for end := time.Now().Add(10 * time.Second); ; {
		if _, response := upgrade(t, path, "exec", `{"command":["true"]}`); response.StatusCode == http.StatusSwitchingProtocols {
			break
		} else if time.Now().After(end) {
			t.Fatal("an ended session makes no room")
		}
	}
}

// FuzzFrames reads anything as frames: each is bounded, and written again it is the same.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 2, 'h', 'i', 2, 0, 0, 0, 0})
	f.Add([]byte{0x85, 0, 1, 0, 0})
	f.Add([]byte{3, 0xff, 0xff, 0xff, 0xff, 0})
	f.Add([]byte{0x84, 0, 0, 0, 4, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		var again strings.Builder
		in, out := api.NewFrameReader(strings.NewReader(string(data))), api.NewFrameWriter(&again)
		for {
			frame, payload, err := in.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, api.ErrFrame) {
					t.Fatal(err)
				}
				break
			}
			if n, err := api.Taken(payload); err == nil && (n < 0 || n > api.InputWindow) {
				t.Fatalf("took %d", n)
			}
			if err := out.Send(frame, payload); err != nil {
				t.Fatal(err)
			}
		}
		if !strings.HasPrefix(string(data), again.String()) {
			t.Fatalf("%x became %x", data, again.String())
		}
	})
}
