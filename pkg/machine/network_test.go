package machine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ownNetwork runs the test where its bridges are not the machine's.
func ownNetwork(t *testing.T, test func(t *testing.T)) {
	kerneltest.Require(t, feature.Bridge, feature.Nftables)
	kerneltest.OwnNetwork(t, network.LoopbackUp, test)
}

// server runs the subject as a server on a bridge, and gives its address.
func (n *node) server(users spec.UserMode, change ...func(*spec.ContainerSpec)) string {
	n.t.Helper()
	c := n.subject("web", "serve")
	c.Spec.Network = spec.Network{Mode: spec.NetworkBridge, Ports: []spec.Port{{Host: 18080, Container: 80}, {Host: 18007, Container: 7}}}
	c.Spec.Namespaces.User.Mode = users
	c.Spec.Command = append([]string{"/bin/sh", "-c", `exec "$@" 5</etc/marker`, "sh"}, c.Spec.Command...)
	for _, f := range change {
		f(&c.Spec)
	}
	n.run(c)
	n.until("the server", func() bool { return strings.Contains(n.output("web"), "up\n") })
	text, err := os.ReadFile(n.path("run", "state", "web", "1", "hosts"))
	must(n.t, err)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && net.ParseIP(fields[0]).To4() != nil && !strings.HasPrefix(fields[0], "127.") {
			return fields[0]
		}
	}
	n.t.Fatalf("no address in %s", text)
	return ""
}

// overAndOver takes images of the server, and restores it from them: leaving it running, killing it, and ending it twice; between is called when there is none.
func (n *node) overAndOver(between, after func(what string)) {
	n.t.Helper()
	n.checkpoint("web", spec.CheckpointOptions{})
	after("an image")
	for _, what := range []string{"a stop", "another stop"} {
		img := n.checkpoint("web", spec.CheckpointOptions{Stop: true})
		between(what)
		n.restore("web", img.Ref())
		after(what)
	}
}

// A web server keeps its connections, of one from the node by its address, of one through a published port, and counts on.
func TestWebServer(t *testing.T) {
	for _, users := range []spec.UserMode{spec.UserHost, spec.UserAuto} {
		t.Run(string(users), func(t *testing.T) {
			ownNetwork(t, func(t *testing.T) {
				n := open(t)
				address := n.server(users)
				clients := map[string]*http.Client{}
				dials := map[string]int{}
				for _, base := range []string{"http://" + address, "http://127.0.0.1:18080"} {
					clients[base] = &http.Client{Timeout: patience, Transport: &http.Transport{MaxConnsPerHost: 1, DialContext: func(ctx context.Context, kind, at string) (net.Conn, error) {
						dials[base]++
						return new(net.Dialer).DialContext(ctx, kind, at)
					}}}
				}
				count := 0
				get := func(what string) {
					t.Helper()
					for base, client := range clients {
						count++
						resp, err := client.Get(base)
						if err != nil {
							t.Fatalf("after %s, %s: %v", what, base, err)
						}
						text, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						must(t, err)
						if string(text) != fmt.Sprint(count) {
							t.Errorf("after %s %s says %q, want %d", what, base, text, count)
						}
						if dials[base] != 1 {
							t.Errorf("after %s there were %d connections to %s", what, dials[base], base)
						}
					}
				}
				get("the start")
				n.overAndOver(func(string) {}, get)
				for _, client := range clients { // who comes anew
					client.CloseIdleConnections()
				}
				clear(dials)
				get("all of them, anew")
				n.finish("web")
			})
		})
	}
}

// finish ends a container: who has a connection of it sees no more.
func (n *node) finish(name string) {
	n.t.Helper()
	must(n.t, n.Destroy(n.t.Context(), name, 1, false))
}

// A stream of numbers loses none, and none comes twice: of a peer on the node, and of one in a container of another network namespace.
func TestStream(t *testing.T) {
	for _, users := range []spec.UserMode{spec.UserHost, spec.UserAuto} {
		t.Run(string(users), func(t *testing.T) {
			ownNetwork(t, func(t *testing.T) {
				n := open(t)
				address := n.server(users)
				other := n.container("other", "exec sleep 100000")
				other.Spec.Network.Mode = spec.NetworkBridge
				n.run(other)
				ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", n.look("other").Pid))
				must(t, err)
				defer ns.Close()
				streams := map[string]*stream{"the node": dial(t, nil, address+":7"), "a published port": dial(t, nil, "127.0.0.1:18007"), "another namespace": dial(t, ns, address+":7")}
				goOn := func(what string) { n.goOn(streams, 1000, what) }
				goOn("the start")
				n.overAndOver(func(string) { time.Sleep(300 * time.Millisecond) }, goOn)
				n.endStreams(streams)
				n.finish("web")
			})
		})
	}
}

// goOn waits until each of the server's streams has got some more numbers.
func (n *node) goOn(streams map[string]*stream, more uint64, what string) {
	n.t.Helper()
	for from, s := range streams {
		was := s.received.Load()
		n.until(fmt.Sprintf("numbers from %s after %s", from, what), func() bool {
			if err := s.failed(); err != nil {
				n.t.Fatalf("the stream of %s, after %s: %v\n%s", from, what, err, n.output("web"))
			}
			return s.received.Load() > was+more
		})
	}
}

// endStreams ends streams that have lost nothing.
func (n *node) endStreams(streams map[string]*stream) {
	n.t.Helper()
	for from, s := range streams {
		if err := s.end(); err != nil {
			n.t.Errorf("the stream of %s: %v", from, err)
		}
		n.t.Logf("%s: %d numbers", from, s.received.Load())
	}
}

// dial opens a stream from a network namespace, nil for the process's own.
func dial(t *testing.T, from *os.File, address string) *stream {
	t.Helper()
	s := &stream{done: make(chan error, 2), stop: make(chan bool)}
	must(t, netlink.Inside(from, func() (err error) {
		s.conn, err = net.Dial("tcp", address)
		return err
	}))
	go s.send()
	go s.receive()
	return s
}

// send sends numbers, but not more than a few thousand ahead.
func (s *stream) send() {
	one := make([]byte, 8)
	for next := uint64(0); ; next++ {
		for next > s.received.Load()+5000 {
			select {
			case <-s.stop:
			case <-time.After(time.Millisecond):
				continue
			}
			break
		}
		select {
		case <-s.stop:
			s.done <- s.conn.(*net.TCPConn).CloseWrite()
			s.sent.Store(next)
			return
		default:
		}
		binary.BigEndian.PutUint64(one, next)
		if _, err := s.conn.Write(one); err != nil {
			s.done <- err
			return
		}
	}
}

// receive expects all of them back.
func (s *stream) receive() {
	one := make([]byte, 8)
	for next := uint64(0); ; next++ {
		if _, err := io.ReadFull(s.conn, one); err != nil {
			if err == io.EOF {
				err = nil
			}
			s.done <- err
			return
		}
		if got := binary.BigEndian.Uint64(one); got != next {
			s.done <- fmt.Errorf("%d came back, not %d", got, next)
			return
		}
		s.received.Store(next + 1)
	}
}

// failed tells of an end that nobody asked for.
func (s *stream) failed() error {
	select {
	case err := <-s.done:
		return fmt.Errorf("it ended: %w", err)
	default:
		return nil
	}
}

// end ends the stream; all that was sent has come back then.
func (s *stream) end() error {
	close(s.stop)
	for range 2 {
		if err := <-s.done; err != nil {
			return err
		}
	}
	if s.sent.Load() != s.received.Load() {
		return fmt.Errorf("%d of %d numbers came back", s.received.Load(), s.sent.Load())
	}
	return s.conn.Close()
}

// stream is a connection on which numbers go round.
type stream struct {
	conn           net.Conn
	received, sent atomic.Uint64
	done           chan error
	stop           chan bool
}

// A restore that fails when the network is attached already leaves one that a start can use.
func TestFailedRestore(t *testing.T) {
	for _, users := range []spec.UserMode{spec.UserHost, spec.UserAuto} {
		t.Run(string(users), func(t *testing.T) {
			ownNetwork(t, func(t *testing.T) {
				n := open(t)
				address := n.server(users)
				s := dial(t, nil, address+":7")
				defer s.conn.Close()
				n.until("numbers", func() bool { return s.received.Load() > 100 })
				img := n.checkpoint("web", spec.CheckpointOptions{Stop: true})
				must(t, os.WriteFile(n.path("rootfs", "etc", "marker"), []byte("longer than it was"), 0o644))
				if err := n.Restore(t.Context(), "web", 1, img.Ref()); err == nil || !strings.Contains(err.Error(), "bytes, and had") {
					t.Fatalf("got %v", err)
				}
				if in := n.look("web"); in.Phase != spec.InstanceExited {
					t.Fatalf("after it: %+v", in)
				}
				must(t, n.Start(t.Context(), "web", 1))
				n.until("an answer", func() bool {
					resp, err := (&http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + address)
					if err != nil {
						return false
					}
					defer resp.Body.Close()
					said, err := io.ReadAll(resp.Body)
					return err == nil && string(said) == "1"
				})
				n.finish("web")
			})
		})
	}
}
