package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestImageErrors(t *testing.T) {
	agent := apitest.New()
	agent.Put(object("web"))
	agent.AddImage(spec.Image{Container: "web", ID: "20260101-000000001"}, "x")
	agent.Image("web/20260101-000000001", true, "damaged", false)
	stopped := object("off")
	stopped.Status.Phase = spec.PhaseStopped
	agent.Put(stopped)
	c := httpClient(serve(t, agent))
	for name, test := range map[string]refusal{
		"checkpoint of nobody":     {"POST", "/v1/containers/nope/checkpoint", "", 404, api.ReasonNotFound},
		"checkpoint of nothing":    {"POST", "/v1/containers/off/checkpoint", "", 409, api.ReasonNotRunning},
		"unknown option":           {"POST", "/v1/containers/web/checkpoint", `{"stopp":true}`, 400, api.ReasonInvalid},
		"large body":               {"POST", "/v1/containers/web/checkpoint", `{"cause":"` + strings.Repeat("x", 2<<20) + `"}`, 413, api.ReasonTooLarge},
		"restore of nobody":        {"POST", "/v1/containers/nope/restore", "", 404, api.ReasonNotFound},
		"restore from nothing":     {"POST", "/v1/containers/off/restore", "", 404, api.ReasonNotFound},
		"restore from damage":      {"POST", "/v1/containers/web/restore", "", 400, api.ReasonInvalid},
		"restore from a path":      {"POST", "/v1/containers/web/restore", `{"image":"../../etc"}`, 400, api.ReasonInvalid},
		"images of a path":         {"GET", "/v1/images?container=../etc", "", 400, api.ReasonInvalid},
		"images of an image":       {"GET", "/v1/images?container=web/20260101-000000001", "", 400, api.ReasonInvalid},
		"no image":                 {"GET", "/v1/images/web/20270101-000000001", "", 404, api.ReasonNotFound},
		"no ID":                    {"GET", "/v1/images/web/newest", "", 400, api.ReasonInvalid},
		"hostile ID":               {"DELETE", "/v1/images/web/..%2f..%2fetc", "", 400, api.ReasonInvalid},
		"hostile name":             {"GET", "/v1/images/..%2fweb/20260101-000000001/export", "", 400, api.ReasonInvalid},
		"image in use":             {"DELETE", "/v1/images/web/20260101-000000001", "", 409, api.ReasonInUse},
		"keep of nothing":          {"POST", "/v1/images/web/20270101-000000001/keep", "", 404, api.ReasonNotFound},
		"unknown verb of an image": {"POST", "/v1/images/web/20260101-000000001/explode", "", 404, api.ReasonNotFound},
		"damaged":                  {"POST", "/v1/images/web/20260101-000000001/verify", "", 400, api.ReasonInvalid},
		"export of nothing":        {"GET", "/v1/images/web/20270101-000000001/export", "", 404, api.ReasonNotFound},
		"import of nothing":        {"POST", "/v1/images", "", 500, api.ReasonInternal},
		"import of something else": {"POST", "/v1/images", "hello\n", 400, api.ReasonInvalid},
		"import for a path":        {"POST", "/v1/images?name=../web", "", 400, api.ReasonInvalid},
		"images are not changed":   {"PUT", "/v1/images", "", 404, api.ReasonNotFound},
		"shutdown in no time":      {"POST", "/v1/shutdown", `{"timeout":"soon"}`, 400, api.ReasonInvalid},
	} {
		t.Run(name, func(t *testing.T) { test.check(t, c) })
	}
}

// A node that takes no images says so.
func TestNoImages(t *testing.T) {
	agent := apitest.New()
	agent.Put(object("web"))
	agent.AddImage(spec.Image{Container: "web", ID: "20260101-000000001"}, "x")
	c := httpClient(serveConfig(t, api.Config{Agent: agent, Logs: agent, Node: agent, Log: logr.Discard()}))
	refusal{"GET", "/v1/images/web/20260101-000000001", "", 501, api.ReasonUnsupported}.check(t, c)
}

// An archive may be larger than every other body, up to a bound of its own.
func TestImportIsBounded(t *testing.T) {
	agent := apitest.New()
	path := serveConfig(t, api.Config{Agent: agent, Logs: agent, Node: agent, Images: agent, Log: logr.Discard(), MaxImport: 8 << 20})
	for size, want := range map[int]int{4 << 20: http.StatusOK, 9 << 20: http.StatusRequestEntityTooLarge} {
		head := fmt.Sprintf(`{"image":{"container":"web","id":"20260101-%09d","createdAt":"2026-01-01T00:00:00Z"},"bytes":%d}`+"\n", size, size)
		response, err := httpClient(path).Post("http://agent/v1/images", "", io.MultiReader(strings.NewReader(head), strings.NewReader(strings.Repeat("x", size))))
		if want != http.StatusOK && errors.Is(err, unix.EPIPE) { // the refusal came while it was still being sent: net/http may see the pipe first
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%d bytes: got %d, want %d", size, response.StatusCode, want)
		}
	}
	if images, _ := agent.Images(t.Context(), ""); len(images) != 1 {
		t.Errorf("%d images, want the small one", len(images))
	}
}

// Few archives are on their way at one time, and others get through meanwhile.
func TestTransfersAreFew(t *testing.T) {
	agent := apitest.New()
	path := serve(t, agent)
	_, begun, gaveUp := agent.Hold()
	const few = 4
	var conns []net.Conn
	for range few {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
		archive := `{"image":{"container":"web","id":"20260101-000000001","createdAt":"2026-01-01T00:00:00Z"},"bytes":0}` + "\n"
		fmt.Fprintf(conn, "POST /v1/images HTTP/1.1\r\nHost: agent\r\nContent-Length: %d\r\n\r\n%s", len(archive), archive)
		<-begun
	}
	refusal{"POST", "/v1/images", "", 503, api.ReasonBusy}.check(t, httpClient(path))
	response, err := httpClient(path).Get("http://agent/v1/images")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("meanwhile: %v, %v", response, err)
	}
	response.Body.Close()
	for _, conn := range conns {
		conn.Close()
		<-gaveUp
	}
}

// An export that fails in the middle is cut, and makes room for the next.
func TestTornExportsMakeRoom(t *testing.T) {
	agent := apitest.New()
	agent.AddImage(spec.Image{Container: "web", ID: "20260101-000000001"}, "content")
	agent.Image("web/20260101-000000001", false, "", true)
	c := httpClient(serve(t, agent))
	const more = 5 // than may be on their way at one time
	for range more {
		response, err := c.Get("http://agent/v1/images/web/20260101-000000001/export")
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK || err == nil {
			t.Errorf("got %d, %v, want an archive that is cut", response.StatusCode, err)
		}
	}
}

// An agent that ends gives up what takes long, says so, and waits for it.
func TestEndGivesUp(t *testing.T) {
	agent := apitest.New()
	agent.Put(object("web"))
	path := filepath.Join(t.TempDir(), "s")
	listener, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	done := make(chan error, 1)
	server := api.New(api.Config{Agent: agent, Logs: agent, Node: agent, Images: agent, Log: logr.Discard()})
	go func() { done <- server.Serve(ctx, listener) }()
	_, begun, gaveUp := agent.Hold()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/containers/web/checkpoint HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\n\r\n")
	<-begun
	end()
	<-gaveUp
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := problem(response); !strings.Contains(e.Message, "the agent ends") {
		t.Errorf("got %d %s", response.StatusCode, e)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
