package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/exposition"
	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/web"
)

// metrics scrapes the node over its socket.
func (n *node) metrics() (text string, families map[string]exposition.Family) {
	n.t.Helper()
	response, err := n.api.Get("http://node/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		n.t.Fatal(response.Status, err)
	}
	if families, err = exposition.Parse(string(body)); err != nil {
		n.t.Fatal(err)
	}
	return string(body), families
}

// Addresses that another has keep no container from running. The agent serves there as soon as it can, and with another token than the other may know.
func TestTakenAddresses(t *testing.T) {
	n := newNode(t)
	var taken []net.Listener
	for range 2 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		taken = append(taken, listener)
	}
	metrics, page := taken[0].Addr().String(), taken[1].Addr().String()
	n.extra = []string{"--metrics-listen", metrics, "--web-listen", page}
	key := n.path("run/" + web.KeyFile)
	const known = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if err := errors.Join(os.MkdirAll(n.path("run"), 0o755), os.WriteFile(key, []byte("http://"+page+"/ui/#token="+known+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	n.put("web.yaml", manifest("web", "exec sleep 600", "  stop: {timeout: 1s}\n"))
	n.start()
	n.phase("web", "Running")
	if _, err := os.Lstat(key); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("somebody is led to another's address: %v", err)
	}
	out, err := n.cli("events")
	if err != nil || strings.Count(out, "AddressUnavailable") != 2 {
		t.Errorf("two addresses are not to be had: %v\n%s", err, out)
	}
	for _, listener := range taken {
		listener.Close()
	}
	for _, url := range []string{"http://" + metrics + "/metrics", "http://" + page + "/ui/"} {
		n.eventually(url+" is served", func() error {
			response, err := http.Get(url)
			if err != nil {
				return err
			}
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return errors.New(response.Status)
			}
			return nil
		})
	}
	if out, err := n.cli("web"); err != nil || !strings.HasPrefix(out, "http://"+page+"/ui/#token=") || strings.Contains(out, known) {
		t.Errorf("the token stays that another may know: %v %s", err, out)
	}
}

// What containers use on a real kernel is in the metrics, in the units of Prometheus, over the socket and over TCP, where there is nothing else.
func TestMetrics(t *testing.T) {
	n := newNode(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	n.extra = []string{"--metrics-listen", address}
	n.put("all.yaml", manifest("busy", "while :; do :; done", "  resources: {memory: {max: 64Mi}}\n  stop: {timeout: 1s}\n")+"---\n"+
		manifest("ends", "exit 3", "  restart: {policy: Never}\n"))
	n.start()
	n.phase("busy", "Running")
	n.phase("ends", "Failed")
	var text string
	n.eventually("a busy container has used a processor", func() error {
		all, families := n.metrics()
		text = all
		for _, want := range []struct {
			family, container string
			least             float64
		}{
			{"reconciler_container_cpu_usage_seconds_total", "busy", .01},
			{"reconciler_container_memory_usage_bytes", "busy", 4096},
			{"reconciler_container_memory_limit_bytes", "busy", 64 << 20},
			{"reconciler_container_tasks", "busy", 1},
			{"reconciler_container_ready", "busy", 1},
			{"reconciler_container_last_exit_code", "ends", 3},
		} {
			if got, ok := families[want.family].Value("name", want.container); !ok || got < want.least {
				return fmt.Errorf("%s of %s is %v (there: %t)", want.family, want.container, got, ok)
			}
		}
		for _, family := range []string{"reconciler_keeper_up", "reconciler_keeper_resident_memory_bytes", "process_resident_memory_bytes", "reconciler_converge_duration_seconds"} {
			if got, ok := families[family].Value(); !ok || got <= 0 {
				return fmt.Errorf("%s is %v (there: %t)", family, got, ok)
			}
		}
		return nil
	})
	for _, ask := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/metrics", 200}, {"POST", "/metrics", 405}, {"GET", "/", 404}, {"GET", "/v1/containers", 404}, {"GET", "/debug/state", 404}, {"GET", "/debug/trace", 404},
	} {
		request, err := http.NewRequest(ask.method, "http://"+address+ask.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != ask.want {
			t.Errorf("%s %s over TCP: %s, want %d", ask.method, ask.path, response.Status, ask.want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	kerneltest.Promtool(t, text, "check", "metrics")
}

// A keeper that does not answer shows, and holds no scrape up for long.
func TestMetricsWithoutKeeper(t *testing.T) {
	n := newNode(t)
	n.start()
	up := func(want float64) {
		n.eventually(fmt.Sprintf("the keeper's state is %v", want), func() error {
			_, families := n.metrics()
			if got, ok := families["reconciler_keeper_up"].Value(); !ok || got != want {
				return fmt.Errorf("it is %v (there: %t)", got, ok)
			}
			return nil
		})
	}
	up(1)
	keeper := n.keepers()[0]
	if err := unix.Kill(keeper, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer unix.Kill(keeper, unix.SIGCONT)
	up(0)
	if err := unix.Kill(keeper, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	up(1)
}

// The command line looks into the agent.
func TestDebug(t *testing.T) {
	for _, extra := range [][]string{nil, {"--flight-recorder"}} {
		n := newNode(t)
		n.extra = extra
		n.start()
		out, err := n.cli("debug", "state")
		if err != nil || !strings.Contains(out, "workers busy") || !strings.Contains(out, n.path("manifests")) {
			t.Errorf("%v %s", err, out)
		}
		out, err = n.cli("debug", "metrics")
		if err != nil || !strings.Contains(out, "reconciler_build_info") {
			t.Errorf("%v %s", err, out)
		}
		file := n.path("agent.trace")
		out, err = n.cli("debug", "trace", "-o", file, "--for", "100ms")
		if err != nil {
			t.Errorf("%v %s", err, out)
		}
		text, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(text), "go 1.") {
			t.Errorf("no trace: %v, %d bytes", err, len(text))
		}
		if out, err = n.cli("debug", "trace", "-o", "-", "--for", "2h"); err == nil || !strings.Contains(out, "no time up to") {
			t.Errorf("%v %s", err, out)
		}
		if audit, _ := os.ReadFile(n.path("log/audit.log")); !strings.Contains(string(audit), "/debug/trace") {
			t.Errorf("a trace is not in the audit log: %s", audit)
		}
	}
}

// BenchmarkScrape scrapes a node of 500 containers, and measures what an edit takes until it is done, with a scrape after the other and without.
func BenchmarkScrape(b *testing.B) {
	const count = 500
	n := newNode(b)
	n.start()
	for i := range count {
		n.put(fmt.Sprintf("s%03d.yaml", i), scraped(i, 64))
	}
	n.allReady(count)
	var took []time.Duration
	var size int
	before := usageOf(b, n.agent.Process.Pid)
	for b.Loop() {
		began := time.Now()
		text, _ := n.metrics()
		took, size = append(took, time.Since(began)), len(text)
	}
	spent := usageOf(b, n.agent.Process.Pid).cpu - before.cpu
	slices.Sort(took)
	b.ReportMetric(float64(size), "bytes")
	b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
	b.ReportMetric(float64(spent)/1e6/float64(len(took)), "cpu-ms")
	_, families := n.metrics()
	stats, _ := families["reconciler_scrape_stats_seconds"].Value()
	b.ReportMetric(stats*1e3, "stats-ms")
	b.ReportMetric(float64(n.edits(100, 65))/1e6, "edit-p50-ms")
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ended:
				return
			default:
				n.metrics()
			}
		}
	}()
	b.ReportMetric(float64(n.edits(100, 66))/1e6, "edit-scraped-p50-ms")
	close(ended)
	<-done
}

func scraped(i, memory int) string {
	return manifest(fmt.Sprintf("s%03d", i), "exec sleep 100000", fmt.Sprintf("  resources: {memory: {max: %dMi}}\n  stop: {timeout: 1s}\n", memory))
}

// edits changes a limit of some containers one after the other, and gives the median time until that is done.
func (n *node) edits(count, memory int) time.Duration {
	n.t.Helper()
	var took []time.Duration
	for i := range count {
		began := time.Now()
		n.put(fmt.Sprintf("s%03d.yaml", i), scraped(i, memory))
		n.eventually("the limit is in force", func() error {
			o, err := n.get(fmt.Sprintf("s%03d", i))
			if err == nil && o.Status.Container.Resources.Memory.Max.Value() != uint64(memory)<<20 {
				err = fmt.Errorf("it is %s", o.Status.Container.Resources.Memory.Max)
			}
			return err
		})
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}
