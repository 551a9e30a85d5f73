package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// expected is what the browser says of some of the tests: that the agent is away, and then that its numbers have expired; that a token is needed.
var expected = map[string]*regexp.Regexp{"restart": regexp.MustCompile("ERR_|410 .Gone"), "token": regexp.MustCompile("401 .Unauthorized")}

// TestPage opens the page as a person does, and finds all that there is to see of a node.
func TestPage(t *testing.T) {
	n := newNode(t)
	b := newBrowser(t)
	address, origin := n.address()
	for _, test := range []struct {
		name string
		test func(*testing.T, *node, *page)
	}{{"list", testList}, {"container", testContainer}, {"paused", testPaused}, {"drift", testDrift}, {"hostile", testHostile}, {"node", testNode}, {"phone", testPhone}, {"loud", testLoud}, {"two", testTwo}, {"background", testBackground}, {"starved", testStarved}, {"slow", testSlow}, {"hidden", testHidden}, {"many", testMany}, {"token", testToken}, {"restart", testRestart}} {
		t.Run(test.name, func(t *testing.T) {
			width, scheme := 1280, "light"
			if test.name == "phone" {
				width = 390
			}
			if test.name == "paused" || test.name == "phone" {
				scheme = "dark"
			}
			p := b.with(t).open(width, 860, scheme)
			p.goTo(address)
			p.shows("#link", "live")
			p.sees("an address without its token", "!location.href.includes('token')")
			test.test(t, n.with(t), p)
			for _, complaint := range p.complaints(origin) {
				if want := expected[test.name]; want == nil || !want.MatchString(complaint) {
					t.Error(complaint)
				}
			}
			if got, err := p.value("window.pwned"); got != nil || err != nil {
				t.Errorf("what a container says was carried out: %v, %v", got, err)
			}
			p.close()
		})
	}
	t.Run("closed", func(t *testing.T) { n.with(t).noneConnected(origin) })
}

// with is the browser for a part of a test.
func (b *browser) with(t *testing.T) *browser {
	whole := b.TB
	b.TB = t
	t.Cleanup(func() { b.TB = whole })
	return b
}

// with is the node for a part of a test.
func (n *node) with(t *testing.T) *node {
	whole := n.TB
	n.TB = t
	t.Cleanup(func() { n.TB = whole })
	return n
}

func testList(_ *testing.T, _ *node, p *page) {
	for _, name := range []string{"shop-web", "shop-db", "cache", "mailer", "nightly-report", "visitor"} {
		p.shows("tbody th a", name)
	}
	row := func(name string) string { return "tr[data-name=" + name + "] " }
	p.shows(row("shop-web")+".pill", "Running")
	p.shows(row("cache")+".pill", "Paused")
	p.shows(row("mailer")+".pill", "BackOff")
	p.shows(row("mailer")+".why", "exited with code 1")
	p.shows(row("nightly-report")+".pill", "Completed")
	p.shows(row("shop-web")+"td[data-head=CPU]", "%")
	p.shows(row("shop-db")+"td[data-head=Memory]", "MiB")
	p.shows(".k-attention b", "1")
	p.sees("a line of cpu", `document.querySelector("tr[data-name=shop-web] .stroke").getAttribute("d").split("L").length > 3`)
	forPicture(15 * time.Second)
	p.screenshot("list", false)
	// Only the keyboard: filter, then open the one that is left.
	p.key("/")
	p.do("Input.insertText", object{"text": "tier=front"})
	p.sees("one row", `document.querySelectorAll("tbody tr").length === 1`)
	p.key("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Enter")
	p.shows("h1", "shop-web")
	p.sees("its heading in focus", `document.activeElement.tagName === "H1"`)
	p.key("Escape")
	p.shows("h1", "Containers")
}

// forPicture lets charts grow, if pictures are kept.
func forPicture(d time.Duration) {
	if os.Getenv("SCREENSHOTS") != "" {
		time.Sleep(d)
	}
}

// key presses keys, one after the other.
func (p *page) key(names ...string) {
	p.Helper()
	codes := map[string]object{
		"Tab": {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}, "Enter": {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
		"Escape": {"key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27}, "/": {"key": "/", "code": "Slash", "windowsVirtualKeyCode": 191, "text": "/"},
	}
	for _, name := range names {
		for _, kind := range []string{"keyDown", "keyUp"} {
			event := object{"type": kind}
			for k, v := range codes[name] {
				event[k] = v
			}
			p.do("Input.dispatchKeyEvent", event)
		}
	}
}

const points = `Number(document.querySelector("[data-chart='%s'] .stroke").dataset.points)`

func testContainer(t *testing.T, _ *node, p *page) {
	p.view("containers/shop-web")
	p.shows("h1", "shop-web")
	p.shows(".state.now", "Running")
	p.shows(".state.had", "Starting")
	p.sees("the way it took", `document.querySelector("[data-way='Starting>Running']").classList.contains("taken")`)
	p.shows(".history", "Running")
	for _, chart := range []string{"CPU", "Memory"} {
		p.sees("a chart of "+chart, fmt.Sprintf(points+" > 2", chart))
		before, err := p.value(fmt.Sprintf(points, chart))
		must(t, err)
		p.sees("that "+chart+" grows", fmt.Sprintf(points+" > %v", chart, before))
	}
	p.sees("a chart of pressure", fmt.Sprintf(points+" > 2", "Pressure: cpu"))
	p.shows("[data-chart=Memory] .end", "limit 32 MiB")
	p.shows(".events .reason", "Started")
	p.shows(".events .reason", "ManifestAdded")
	p.shows("td", "Accepted")
	p.shows(".lines", "GET /cart/")
	before, err := p.value(`document.querySelectorAll(".line").length`)
	must(t, err)
	p.sees("that its output goes on", fmt.Sprintf(`document.querySelectorAll(".line").length > %v`, before))
	p.shows("section", "Nothing to do: it is as its manifest says.")
	p.shows("pre.manifest", `"memory"`)
	p.sees("names of all drawings", `[...document.querySelectorAll("svg[role=img]")].every((e) => e.getAttribute("aria-label"))`)
}

// testPaused freezes and thaws a container, and sees it at once.
func testPaused(t *testing.T, n *node, p *page) {
	p.view("containers/shop-web")
	p.sees("a chart", fmt.Sprintf(points+" > 2", "CPU"))
	forPicture(6 * time.Second)
	_, err := n.Do(context.Background(), "shop-web", "pause")
	must(t, err)
	p.shows(".state.now", "Paused")
	p.shows(".lead", "Paused by hand")
	p.sees("the time it is frozen", `document.querySelectorAll("[data-chart=CPU] .bands rect").length === 1`)
	forPicture(4 * time.Second)
	_, err = n.Do(context.Background(), "shop-web", "resume")
	must(t, err)
	p.shows(".state.now", "Running")
	p.sees("both ways", `["Running>Paused", "Paused>Running"].every((way) => document.querySelector("[data-way='" + way + "']").classList.contains("taken"))`)
	p.shows(".events .reason", "Resumed")
	p.sees("that it was frozen, and that it is over", `(() => { const r = document.querySelector("[data-chart=CPU] .bands rect"); return r && Number(r.getAttribute("x")) + Number(r.getAttribute("width")) < 395 })()`)
	forPicture(4 * time.Second)
	p.screenshot("container", true)
}

// testDrift has somebody else change what a container has, and sees it told: field, found, wanted.
func testDrift(t *testing.T, n *node, p *page) {
	p.view("containers/shop-db")
	p.shows("h1", "shop-db")
	object, err := n.Get(context.Background(), "shop-db")
	must(t, err)
	if out, err := exec.Command("nsenter", "-t", strconv.Itoa(object.Status.Container.Pid), "-u", "hostname", "elsewhere").CombinedOutput(); err != nil {
		t.Fatalf("cannot change a host name: %v %s", err, out)
	}
	_, err = p.value(`[...document.querySelectorAll("button")].find((b) => b.textContent === "Compare now").click()`)
	must(t, err)
	for _, text := range []string{"hostname", "elsewhere", "shop-db"} {
		p.shows("td", text)
	}
	_, err = n.RepairDrift(context.Background(), "shop-db")
	must(t, err)
	p.shows(".events .reason", "DriftCorrected")
	p.shows(".lines", "ready to accept connections")
	p.screenshot("drift", true)
}

const noControls = `!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(document.body.textContent)`

func testHostile(_ *testing.T, _ *node, p *page) {
	p.view("containers/visitor")
	p.shows(".line span", `<img src=x onerror="window.pwned=1"> red  <script>window.pwned=1</script>`)
	p.shows("pre.manifest", "</pre><img src=x")
	p.sees("no picture but its own", `[...document.images].every((i) => i.src.endsWith("/ui/icon.svg"))`)
	p.sees("no control characters", noControls)
}

func testNode(_ *testing.T, _ *node, p *page) {
	p.view("node")
	p.shows("h1", "Node")
	p.shows(".problems", "maxx")
	p.shows(".problems", "<img src=x onerror=window.pwned=1>")
	p.shows(".problems .hint", "max")
	p.shows(".events .message", "<img src=x onerror=window.pwned=1>")
	p.sees("no control characters", noControls)
	p.shows("td", "manifests")
	p.shows(".events .reason", "ManifestRejected")
	p.shows(".events a", "shop-web")
	p.sees("the version", `[...document.querySelectorAll("dt")].some((e) => e.textContent === "Agent pid")`)
	p.screenshot("node", true)
}

// testPhone sees that nothing is wider than a phone.
func testPhone(_ *testing.T, _ *node, p *page) {
	p.shows("tbody th a", "shop-web")
	p.sees("no need to scroll sideways", "document.documentElement.scrollWidth <= innerWidth")
	p.sees("measures", `document.querySelector("tr[data-name=shop-web] .stroke").getAttribute("d").includes("L")`)
	p.screenshot("phone-list", false)
	p.view("containers/shop-web")
	p.sees("a chart", fmt.Sprintf(points+" > 3", "CPU"))
	p.sees("no need to scroll sideways", "document.documentElement.scrollWidth <= innerWidth")
	p.screenshot("phone", false)
}

// testRestart has the agent away for a moment: the page says so and goes on, with the same token.
func testRestart(t *testing.T, n *node, p *page) {
	p.shows("tbody th a", "shop-web")
	n.stop()
	p.shows("#link", "reconnecting")
	host, err := p.value("location.host")
	must(t, err)
	n.start(fmt.Sprint(host))
	p.sees("that the agent is back", `document.getElementById("link").textContent === "live"`)
	other := p.open(1280, 860, "light")
	defer other.close()
	address, _ := n.address()
	other.goTo(address)
	other.shows("#link", "live")
	other.view("containers/visitor")
	other.shows(".pill", "Running")
	must(t, os.Remove(n.path("manifests/hostile.yaml")))
	p.sees("that a container goes", `!document.querySelector("tr[data-name=visitor]")`)
	other.shows(".pill", "Gone")
	object, err := n.Get(context.Background(), "shop-web")
	if err != nil || object.Status.Phase != spec.PhaseRunning {
		t.Errorf("shop-web: %+v, %v", object.Status, err)
	}
}

// view goes to a view as a link does.
func (p *page) view(path string) {
	p.Helper()
	_, err := p.value(fmt.Sprintf("location.hash = %q", "/"+path))
	must(p, err)
}

// testTwo has the page in two windows: both go on, with the six connections that a browser has for one host.
func testTwo(_ *testing.T, n *node, p *page) {
	address, _ := n.address()
	other := p.open(1280, 860, "light")
	defer other.close()
	other.goTo(address)
	other.shows("#link", "live")
	for _, w := range []*page{p, other} {
		w.view("containers/shop-web")
	}
	for range 2 {
		for _, w := range []*page{p, other} {
			lines, err := w.value(`document.querySelectorAll(".line").length`)
			must(p, err)
			w.sees("output that goes on", fmt.Sprintf(`document.querySelectorAll(".line").length > %v`, lines))
			w.sees("a chart", fmt.Sprintf(points+" > 2", "CPU"))
		}
	}
}

// testHidden has a tab that nobody sees any more: after a while, which passes at once here, it is not connected; when it is seen again it goes on.
func testHidden(_ *testing.T, n *node, p *page) {
	p.view("containers/shop-web")
	p.shows(".lines", "GET /cart/")
	_, origin := n.address()
	see := func(hidden bool) {
		_, err := p.value(fmt.Sprintf(`{
			const later = setTimeout;
			window.setTimeout = (f, ms) => later(f, ms === 20000 ? 0 : ms);
			Object.defineProperty(document, "hidden", { value: %t, configurable: true });
			document.dispatchEvent(new Event("visibilitychange"));
		}`, hidden))
		must(p, err)
	}
	see(true)
	n.noneConnected(origin)
	see(false)
	p.sees("a chart", fmt.Sprintf(points+" > 2", "CPU"))
	p.shows(".lines", "GET /cart/")
}

// testLoud shows a container that writes faster than anybody reads: the page answers, and has what is written now.
func testLoud(t *testing.T, n *node, p *page) {
	n.put("testdata/loud/loud.yaml")
	p.view("containers/loud")
	p.shows(".line span", "loud and clear")
	p.sees("a full list of lines", `document.querySelectorAll(".line").length === 1000`)
	p.sees("a chart", fmt.Sprintf(points+" > 3", "CPU"))
	p.sees("that output was left out", `document.querySelector(".lines").textContent.includes("left out")`)
	for range 10 {
		latest := `[...document.querySelectorAll(".line time")].at(-1).dateTime`
		before, err := p.value(latest)
		must(t, err)
		p.sees("output that goes on", fmt.Sprintf("%s > %q", latest, before))
	}
	p.view("")
	p.shows("h1", "Containers")
	must(t, os.Remove(n.path("manifests/loud.yaml")))
	p.sees("that a container goes", `!document.querySelector("tr[data-name=loud]")`)
}

// testBackground opens tabs that nobody has seen yet: they ask for nothing until they are seen, and the one that is seen has all connections.
func testBackground(t *testing.T, n *node, p *page) {
	address, _ := n.address()
	var hidden []*page
	for range 4 {
		other := p.open(1280, 860, "light")
		defer other.close()
		p.do("Page.bringToFront", nil)
		other.sees("that nobody sees it", "document.hidden")
		other.goTo(address)
		other.sees("that it was loaded", `document.hidden && document.readyState === "complete" && !location.href.includes("token")`)
		hidden = append(hidden, other)
	}
	p.view("containers/shop-web")
	p.sees("a chart", fmt.Sprintf(points+" > 3", "CPU"))
	p.shows(".lines", "GET /cart/")
	for _, other := range hidden {
		got, err := other.value(`performance.getEntriesByType("resource").filter((e) => e.name.includes("/v1/")).length`)
		must(t, err)
		if fmt.Sprint(got) != "0" {
			t.Errorf("a tab that nobody sees has asked %v times", got)
		}
	}
	hidden[0].do("Page.bringToFront", nil)
	hidden[0].shows("tbody th a", "shop-web")
}

// testStarved takes all connections that the browser has for the agent: the page says that it has no answers, and goes on when there are some again.
func testStarved(_ *testing.T, _ *node, p *page) {
	p.shows("tbody th a", "shop-web")
	_, err := p.value(`{
		window.taken = new AbortController();
		window.held = [];
		const headers = { Authorization: "Bearer " + sessionStorage.getItem("reconciler-token") };
		for (let i = 0; i < 6; i++) fetch("/v1/stats?watch=1&interval=" + (i + 1) + "s", { cache: "no-store", credentials: "omit", headers, signal: taken.signal }).then((r) => held.push(r), () => {});
		null; // nothing to wait for
	}`)
	must(p, err)
	p.shows("#link", "reconnecting")
	_, err = p.value("taken.abort()")
	must(p, err)
	p.shows("#link", "live")
}

// testSlow has the agent take too long for one thing alone: its card says so, and the link to the agent is as live as it was. Waiting is shorter here.
func testSlow(_ *testing.T, _ *node, p *page) {
	p.shows("tbody th a", "shop-web")
	_, err := p.value(`{
		const { fetch, AbortSignal: { timeout } } = window;
		AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms / 10);
		window.fetch = (path, options) => path !== "/v1/plan" ? fetch(path, options) : new Promise((_, no) => options.signal.addEventListener("abort", () => no(options.signal.reason)));
		window.links = [];
		new MutationObserver(() => links.push(document.getElementById("link").textContent)).observe(document.getElementById("link"), { childList: true, characterData: true, subtree: true });
		null; // nothing to wait for
	}`)
	must(p, err)
	p.view("node")
	p.shows(".none", "takes longer for this than the page waits")
	p.shows("#link", "live")
	p.sees("a link that was always live", "links.every((state) => state === 'live')")
	p.shows(".problems", "maxx")
}

// testMany has a thousand containers on the page, as if the agent told of them, and looks how long they take to be drawn anew: a frame or a few.
func testMany(t *testing.T, _ *node, p *page) {
	p.shows("tbody th a", "shop-web")
	got, err := p.value(`(async () => {
		const { store } = await import("/ui/store.js");
		const one = store.containers.get("shop-web");
		for (let i = 0; i < 1000; i++) store.containers.set("many-" + i, { ...one, metadata: { ...one.metadata, name: "many-" + i } });
		store.changed();
		await new Promise(requestAnimationFrame);
		await new Promise((done) => setTimeout(done));
		const began = performance.now();
		store.changed();
		await new Promise(requestAnimationFrame);
		await new Promise((done) => setTimeout(done));
		return [document.querySelectorAll("tbody tr").length, performance.now() - began].join(" ");
	})()`)
	must(t, err)
	t.Logf("rows, and milliseconds until they are drawn again: %v", got)
	if rows, _, _ := strings.Cut(fmt.Sprint(got), " "); rows != "1006" {
		t.Errorf("there are %s rows", rows)
	}
}

// testToken opens the page without its token, and then with it.
func testToken(_ *testing.T, n *node, p *page) {
	_, err := p.value("sessionStorage.clear()")
	must(p, err)
	address, origin := n.address()
	p.goTo(origin + "/")
	p.shows("h1", "This page needs its token")
	p.shows("#link", "no token")
	p.sees("nothing of the node", `!document.body.textContent.includes("shop-web")`)
	p.goTo(address)
	p.shows("tbody th a", "shop-web")
	other := p.open(1280, 860, "light") // as by a link that is opened in a tab of its own
	defer other.close()
	other.goTo(origin + "/ui/#/containers/shop-web")
	other.shows("h1", "shop-web")
	other.shows("#link", "live")
	other.shows(".state.now", "Running")
}

// noneConnected waits until nobody is connected to the page's address: who has closed a tab has ended its streams.
func (n *node) noneConnected(origin string) {
	n.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(origin, "http://"))
	must(n, err)
	number, err := strconv.Atoi(port)
	must(n, err)
	var rows []string
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(100 * time.Millisecond) {
		text, err := os.ReadFile("/proc/net/tcp")
		must(n, err)
		rows = nil
		for row := range strings.Lines(string(text)) {
			if f := strings.Fields(row); len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) && f[3] == "01" {
				rows = append(rows, row)
			}
		}
		if len(rows) == 0 {
			return
		}
	}
	n.Errorf("streams of tabs that are closed: %v", rows)
}

// TestForwarded opens the page through a forwarded socket, as ssh -L does: root's, but a browser only looks.
func TestForwarded(t *testing.T) {
	n := newNode(t)
	b := newBrowser(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	go forward(listener, n.path("run/reconciler.sock"))
	origin := "http://" + listener.Addr().String()
	p := b.open(1280, 860, "light")
	p.goTo(origin + "/")
	p.shows("#link", "live")
	p.shows("tbody th a", "shop-web")
	for _, complaint := range p.complaints(origin) {
		t.Error(complaint)
	}
	got, err := p.value(`fetch("/v1/containers/shop-web/stop", {method: "POST"}).then(async (r) => r.status + " " + await r.text())`)
	must(t, err)
	if text := fmt.Sprint(got); !strings.HasPrefix(text, "403") || !strings.Contains(text, "a browser can look") {
		t.Errorf("a browser changes something: %s", text)
	}
	// A page of another site, in the same browser.
	other, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer other.Close()
	go forward(other, n.path("run/reconciler.sock"))
	evil := b.open(1280, 860, "light")
	evil.goTo("http://" + other.Addr().String() + "/v1/version")
	evil.shows("body", "agent")
	for _, what := range []string{`fetch("%s/v1/containers/shop-web/stop", {method: "POST", mode: "no-cors"})`, `fetch("%s/v1/containers")`} {
		got, _ := evil.value(fmt.Sprintf(what, origin) + `.then(async (r) => r.type + await r.text(), (e) => "refused")`)
		if text := fmt.Sprint(got); text != "refused" && text != "opaque" {
			t.Errorf("another site's page gets %s", text)
		}
	}
	object, err := n.Get(context.Background(), "shop-web")
	if err != nil || object.Status.Override.State != "" {
		t.Errorf("another site has stopped a container: %+v, %v", object.Status.Override, err)
	}
}

// forward carries connections to a unix socket.
func forward(listener net.Listener, path string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("unix", path)
		if err != nil {
			conn.Close()
			continue
		}
		carry := func(from, to net.Conn) {
			_, _ = io.Copy(to, bufio.NewReader(from))
			to.Close()
			from.Close()
		}
		go carry(conn, to)
		go carry(to, conn)
	}
}
