package simnode

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Answer is what who connects into a container finds: Healthy, Failing, Refusing, Hanging, or a conversation of a test's own, which ends with the
// connection. It runs on a goroutine of its own.
type Answer func(net.Conn)

// Refusing is a port at which nobody listens.
var Refusing Answer

// Healthy answers every request of HTTP with 200.
func Healthy(c net.Conn) { converse(c, "200 OK") }

// Failing answers every request of HTTP with 503.
func Failing(c net.Conn) { converse(c, "503 Service Unavailable") }

// Hanging takes a connection and never says anything.
func Hanging(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// converse reads one request and answers it.
func converse(c net.Conn, status string) {
	lines := bufio.NewReader(c)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if strings.TrimSpace(line) == "" {
			break
		}
	}
	fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status)
}

// Answer sets what who connects into any port of a name's containers finds from now on. Who says nothing of a name finds Healthy where its program
// listens, and Refusing elsewhere.
func (m *Machine) Answer(name string, a Answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[name] = a
}

// inVain is how often a frozen container may be asked something: before its end, which may have to be tried again, and before it is seen that it is frozen.
const inVain = 20

// answer is what who connects finds now.
func (m *Machine) answer(name string, id uint64, port uint16) (Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in, err := m.usable(name, id)
	switch {
	case err != nil:
		return nil, err
	case in.Phase != spec.InstanceRunning:
		if in.vain++; in.Phase == spec.InstancePaused && time.Since(in.frozen) > seen && in.vain > inVain {
			m.misfits = append(m.misfits, fmt.Sprintf("%s is asked something %d times, although it is frozen", name, in.vain))
		}
		return nil, fmt.Errorf("instance %d of %q is %s: %w", id, name, in.Phase, spec.ErrNotRunning)
	}
	if !in.Stopping.IsZero() && time.Since(in.asked) > time.Second {
		m.misfits = append(m.misfits, fmt.Sprintf("%s is asked something, although it was asked to end", name))
	}
	a, scripted := m.answers[name]
	if !scripted && in.program.port == int(port) {
		a = Healthy
	}
	return a, nil
}

// Dial connects to what Answer says. No fault disturbs it: a probe that fails is what a test scripts.
func (n *Node) Dial(ctx context.Context, name string, id uint64, network, address string) (net.Conn, error) {
	if n.dead.Load() {
		return nil, ErrDead
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil || to.Port() == 0 || !strings.HasPrefix(network, "tcp") {
		return nil, fmt.Errorf("%s %q is no address: %w", network, address, fs.ErrInvalid)
	}
	a, err := n.machine.answer(name, id, to.Port())
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if a == nil {
		refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
		return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: refused}
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		a(theirs)
	}()
	return ours, nil
}
