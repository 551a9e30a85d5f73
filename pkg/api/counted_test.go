package api_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Each request is told of once, when its answer begins: also a watch that goes on, and a session.
func TestAnswered(t *testing.T) {
	var mu sync.Mutex
	told := map[int]int{}
	agent := apitest.New()
	agent.Put(object("web"))
	path := serveConfig(t, api.Config{Agent: agent, Logs: agent, Node: agent, Log: logr.Discard(), Answered: func(role string, status int, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		told[status]++
		if role != "admin" || took < 0 {
			t.Errorf("%s after %v", role, took)
		}
	}})
	c := httpClient(path)
	for _, target := range []string{"/v1/containers/web", "/v1/containers/wob", "/v1/nothing", "/v1/containers?watch=1"} {
		response, err := c.Get("http://agent" + target)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() // of the watch only now
	}
	begin(t, path, spec.Exec{Command: []string{"cat"}, Stdin: true})
	want := map[int]int{http.StatusOK: 2, http.StatusNotFound: 2, http.StatusSwitchingProtocols: 1}
	mu.Lock()
	defer mu.Unlock()
	for status, n := range want {
		if told[status] != n {
			t.Errorf("%d answers of %d, want %d", told[status], status, n)
		}
	}
}
