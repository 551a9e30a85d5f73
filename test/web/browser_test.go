package web

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

// patience bounds what a test waits for.
var patience = kerneltest.Patient(30 * time.Second)

// browser is a chromium without a window, spoken to in the DevTools protocol over two pipes (--remote-debugging-pipe): JSON that ends with a zero byte.
type browser struct {
	testing.TB
	cmd *exec.Cmd
	in  *os.File

	mu      sync.Mutex // guards what is below
	last    int
	waiting map[int]chan reply
	pages   map[string]*page // by session
	over    error            // why nothing comes any more
}

// reply is the answer to a command, or, with a method, something that happened.
type reply struct {
	ID        int             `json:"id"`
	SessionID string          `json:"sessionId"`
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params"`
	Result    json.RawMessage `json:"result"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// newBrowser starts a browser that ends with the test. Without chromium the test fails: it is what the test is about.
func newBrowser(t testing.TB) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("the feature that is missing is a browser, Debian's package chromium: %v", err)
	}
	theirIn, in, err := os.Pipe()
	must(t, err)
	out, theirOut, err := os.Pipe()
	must(t, err)
	b := &browser{TB: t, in: in, waiting: map[int]chan reply{}, pages: map[string]*page{}}
	home := t.TempDir()
	b.cmd = exec.Command(program, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--no-first-run", "--no-proxy-server", "--hide-scrollbars", "--lang=en-GB", "--user-data-dir="+home, "about:blank")
	var log bytes.Buffer
	b.cmd.Stderr = &log
	b.cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home, "TZ=UTC")
	b.cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, b.cmd.Start())
	theirIn.Close()
	theirOut.Close()
	go b.listen(out)
	t.Cleanup(func() {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
		_ = b.cmd.Wait()
		in.Close()
		out.Close()
		if t.Failed() {
			t.Logf("chromium said:\n%s", log.String())
		}
	})
	return b
}

// listen hands out what the browser says.
func (b *browser) listen(out *os.File) {
	r := bufio.NewReader(out)
	for {
		text, err := r.ReadBytes(0)
		b.mu.Lock()
		if err != nil {
			b.over = fmt.Errorf("the browser has ended: %w", err)
			for _, c := range b.waiting {
				close(c)
			}
			b.waiting = nil
			b.mu.Unlock()
			return
		}
		var m reply
		if err := json.Unmarshal(text[:len(text)-1], &m); err == nil {
			if c := b.waiting[m.ID]; m.ID != 0 && c != nil {
				delete(b.waiting, m.ID)
				c <- m
			} else if p := b.pages[m.SessionID]; p != nil {
				p.note(m)
			}
		}
		b.mu.Unlock()
	}
}

// call sends a command and decodes its result; a session of "" is the browser itself.
func (b *browser) call(session, method string, params, result any) error {
	c := make(chan reply, 1)
	b.mu.Lock()
	if b.over != nil {
		b.mu.Unlock()
		return b.over
	}
	b.last++
	id := b.last
	b.waiting[id] = c
	b.mu.Unlock()
	command := map[string]any{"id": id, "method": method, "params": params}
	if session != "" {
		command["sessionId"] = session
	}
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		return err
	}
	select {
	case m, ok := <-c:
		switch {
		case !ok:
			return errors.New("the browser has ended")
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-time.After(patience):
		return fmt.Errorf("%s: no answer", method)
	}
}

// page is a tab, and all that it asked for and complained about.
type page struct {
	*browser
	target, session string
	asked, problems []string // URLs; complaints. The browser's lock guards both.
}

type object = map[string]any

// open opens a tab of a size, dark or light.
func (b *browser) open(width, height int, scheme string) *page {
	b.Helper()
	p := &page{browser: b}
	var target struct{ TargetID string }
	must(b, b.call("", "Target.createTarget", object{"url": "about:blank"}, &target))
	var attached struct{ SessionID string }
	must(b, b.call("", "Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &attached))
	p.target, p.session = target.TargetID, attached.SessionID
	b.mu.Lock()
	b.pages[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		p.do(domain+".enable", nil)
	}
	p.do("Emulation.setDeviceMetricsOverride", object{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
	p.do("Emulation.setEmulatedMedia", object{"features": []object{{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}}})
	return p
}

func (p *page) do(method string, params object) {
	p.Helper()
	must(p, p.call(p.session, method, params, nil))
}

// goTo goes to an address.
func (p *page) goTo(url string) {
	p.Helper()
	p.do("Page.navigate", object{"url": url})
}

// close closes the tab.
func (p *page) close() {
	p.Helper()
	must(p, p.call("", "Target.closeTarget", object{"targetId": p.target}, nil))
}

// note keeps what a test asks for afterwards.
func (p *page) note(m reply) {
	var event struct {
		Request          struct{ URL string }
		Entry            struct{ Level, Text, URL string }
		Type             string
		Args             []struct{ Value, Description any }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	if json.Unmarshal(m.Params, &event) != nil {
		return
	}
	switch m.Method {
	case "Network.requestWillBeSent":
		p.asked = append(p.asked, event.Request.URL)
	case "Log.entryAdded":
		if event.Entry.Level == "error" || event.Entry.Level == "warning" {
			p.problems = append(p.problems, event.Entry.Text+" "+event.Entry.URL)
		}
	case "Runtime.exceptionThrown":
		p.problems = append(p.problems, event.ExceptionDetails.Text+" "+event.ExceptionDetails.Exception.Description)
	case "Runtime.consoleAPICalled":
		if event.Type == "error" || event.Type == "warning" || event.Type == "assert" {
			p.problems = append(p.problems, fmt.Sprint(event.Args))
		}
	}
}

// complaints are the browser's, and requests that left the origin.
func (p *page) complaints(origin string) (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all = append(all, p.problems...)
	for _, url := range p.asked {
		if !strings.HasPrefix(url, origin+"/") {
			all = append(all, "asked for "+url)
		}
	}
	return all
}

// value is that of an expression, a promise's when it has come.
func (p *page) value(expression string) (any, error) {
	var result struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	err := p.call(p.session, "Runtime.evaluate", object{"expression": expression, "returnByValue": true, "awaitPromise": true}, &result)
	if err == nil && result.ExceptionDetails != nil {
		err = errors.New(result.ExceptionDetails.Exception.Description)
	}
	return result.Result.Value, err
}

// sees waits until an expression is true.
func (p *page) sees(what, expression string) {
	p.Helper()
	var got any
	var err error
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(50 * time.Millisecond) {
		if got, err = p.value(expression); err == nil && got == true {
			return
		}
	}
	text, _ := p.value("document.body.innerText")
	p.Fatalf("the page does not show %s: %s is %v, %v\n%v", what, expression, got, err, text)
}

// shows waits until a selector has an element with a text in it.
func (p *page) shows(selector, text string) {
	p.Helper()
	p.sees(fmt.Sprintf("%q in %s", text, selector), fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.textContent.includes(%q))", selector, text))
}

// screenshot writes what is to be seen below $SCREENSHOTS, if that is said; the whole page for whole.
func (p *page) screenshot(name string, whole bool) {
	p.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		dir = p.TempDir()
	}
	var picture struct{ Data string }
	params := object{"format": "png", "captureBeyondViewport": whole}
	if whole {
		var size struct {
			CSSContentSize struct{ Width, Height float64 }
		}
		must(p, p.call(p.session, "Page.getLayoutMetrics", nil, &size))
		params["clip"] = object{"x": 0, "y": 0, "width": size.CSSContentSize.Width, "height": size.CSSContentSize.Height, "scale": 1}
	}
	must(p, p.call(p.session, "Page.captureScreenshot", params, &picture))
	data, err := base64.StdEncoding.DecodeString(picture.Data)
	must(p, err)
	if len(data) < 5000 {
		p.Errorf("the picture %s has only %d bytes", name, len(data))
	}
	must(p, os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
