package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// loop is the agent's own loop on a machine in memory, behind its API.
type loop struct {
	testing.TB
	folder *simnode.Folder
	path   string
}

const manifest = `apiVersion: reconciler/v1alpha1
kind: Container
metadata:
  name: %s
  labels: {round: r%d, app: shop, tier: front}
spec:
  rootfs: {path: /srv/rootfs}
  command: [/bin/server, --listen, ":8080", --data, /data]
  env: {LOG_LEVEL: info, REGION: north, POOL: "16"}
  resources:
    memory: {max: %dMi}
    cpu: {max: 500m}
    pids: {max: 64}
`

// newLoop runs containers until the test ends.
func newLoop(t testing.TB, containers int) *loop {
	t.Helper()
	l := &loop{t, simnode.NewFolder("main"), filepath.Join(t.TempDir(), "s")}
	for i := range containers {
		l.put(i, 0)
	}
	ctx, cancel := context.WithCancel(context.Background())
	node := simnode.New().Attach(nil, func() {})
	agent, err := reconcile.New(reconcile.Config{
		Node: node, Store: simnode.NewDisk().Store(node), Sources: []reconcile.Source{l.folder}, Prune: reconcile.PruneAlways, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := api.Listen(l.path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- agent.Run(ctx) }()
	go func() {
		done <- api.New(api.Config{Agent: agent, Logs: apitest.New(), Node: node, Log: logr.Discard()}).Serve(ctx, listener)
	}()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	l.until(containers, 0)
	return l
}

func name(i int) string { return fmt.Sprintf("c%03d", i) }

// put writes the manifest of a container as it is in a round: a change of it is done in place.
func (l *loop) put(i, round int) {
	l.folder.Put(name(i)+".yaml", fmt.Sprintf(manifest, name(i), round, 64+round%64))
}

// until waits until so many containers run as they should, the first in a round.
func (l *loop) until(containers, round int) {
	l.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var list api.List
		response, err := httpClient(l.path).Get("http://agent/v1/containers")
		if err != nil {
			l.Fatal(err)
		}
		err = json.NewDecoder(response.Body).Decode(&list)
		response.Body.Close()
		if err != nil {
			l.Fatal(err)
		}
		running := 0
		for _, o := range list.Items {
			if o.Status.Phase == spec.PhaseRunning && len(o.Status.Pending) == 0 {
				running++
			}
		}
		if running == containers && list.Items[0].Metadata.Labels["round"] == fmt.Sprintf("r%d", round) {
			return
		}
		if time.Now().After(end) {
			l.Fatalf("%d of %d containers run", running, containers)
		}
	}
}

// watch opens a watch of everything, and reads nothing.
func (l *loop) watch() net.Conn {
	l.Helper()
	conn, err := net.Dial("unix", l.path)
	if err != nil {
		l.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /v1/containers?watch=1 HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		l.Fatal(err)
	}
	return conn
}

// The loop goes on whatever readers do: a hundred that do not read hold nothing up.
func TestTheLoopWaitsForNoReader(t *testing.T) {
	l := newLoop(t, 20)
	for range 100 {
		defer l.watch().Close()
	}
	const rounds = 30
	for round := 1; round <= rounds; round++ {
		for i := range 20 {
			l.put(i, round)
		}
		l.until(20, round)
	}
}

// BenchmarkAPI asks for one of 500 containers, and for all of them, while a hundred watchers read every change and ten containers change a
// hundred times a second. A goal is 20 ms for 99 of 100 requests.
func BenchmarkAPI(b *testing.B) {
	const containers, watchers = 500, 100
	l := newLoop(b, containers)
	for _, busy := range []bool{false, true} {
		stop := func() {}
		if busy {
			stop = l.busy(containers, watchers)
		}
		for what, path := range map[string]string{"one": "/v1/containers/c250", "list": "/v1/containers"} {
			b.Run(fmt.Sprintf("%s/busy=%t", what, busy), func(b *testing.B) { l.measure(b, path) })
		}
		stop()
	}
}

// busy has watchers read, and containers change, until stop.
func (l *loop) busy(containers, watchers int) (stop func()) {
	var all sync.WaitGroup
	var conns []net.Conn
	var ready sync.WaitGroup
	for range watchers {
		conn := l.watch()
		conns = append(conns, conn)
		ready.Add(1)
		all.Go(func() {
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				if strings.Contains(lines.Text(), `"type":"Bookmark"`) {
					ready.Done()
					break
				}
			}
			_, _ = io.Copy(io.Discard, conn)
		})
	}
	ready.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	all.Go(func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			l.put(n%10*containers/10, n/10+1)
			<-ticker.C
		}
	})
	return func() {
		cancel()
		for _, conn := range conns {
			conn.Close()
		}
		all.Wait()
	}
}

// measure asks one by one, each over a connection of its own as the command line does.
func (l *loop) measure(b *testing.B, path string) {
	c := httpClient(l.path)
	var took []time.Duration
	var bytes int64
	for b.Loop() {
		began := time.Now()
		response, err := c.Get("http://agent" + path)
		if err != nil || response.StatusCode != http.StatusOK {
			b.Fatal(response, err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
		took, bytes = append(took, time.Since(began)), n
	}
	slices.Sort(took)
	for unit, share := range map[string]int{"p50-ms": 50, "p99-ms": 99} {
		b.ReportMetric(float64(took[len(took)*share/100])/1e6, unit)
	}
	b.ReportMetric(float64(bytes), "bytes")
}
