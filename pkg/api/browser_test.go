package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

// A browser reaches the socket through a forwarded port, with the role of who forwards it. It only looks, and only for a page that is ours; other
// programs notice nothing.
func TestBrowsersOnlyLook(t *testing.T) {
	handler := New(Config{Agent: nobody{}, Logs: nobody{}, Node: nobody{}, Log: logr.Discard(), Mounts: []Mount{
		{"GET /ui/", Read, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})},
	}}).Handler()
	const stop, list, export, page = "/v1/containers/web/stop", "/v1/version", "/v1/images/web/20260101-000000001/export", "/ui/"
	type header map[string]string
	for _, test := range []struct {
		what, method, path, host string
		header                   header
		refused                  bool
	}{
		{"a program", post, stop, "localhost", nil, false},
		{"a program that says any host", post, stop, "agent", nil, false},
		{"a program that says none", post, stop, "", nil, false},
		{"a program through a forwarded port", post, stop, "localhost:8080", nil, false},
		{"a form of another site", post, stop, "localhost:8080", header{"Origin": "http://evil.example"}, true},
		{"a form of no site", post, stop, "localhost:8080", header{"Origin": "null"}, true},
		{"a page of ours that changes something", post, stop, "localhost:8080", header{"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"}, true},
		{"an address typed in that carries memory out", get, export, "localhost:8080", header{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, true},
		{"our page", get, list, "localhost:8080", header{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, false},
		{"our page, in an old browser", get, list, "127.0.0.1:8080", header{"Origin": "http://127.0.0.1:8080"}, false},
		{"another port's page", get, list, "localhost:8080", header{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, true},
		{"another site's page", get, list, "localhost:8080", header{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, true},
		{"another site's frame", get, page, "localhost:8080", header{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, true},
		{"a link on another site", get, page, "localhost:8080", header{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, false},
		{"a link on another site past the page", get, list, "localhost:8080", header{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, true},
		{"an address typed in", get, list, "localhost:8080", header{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, false},
		{"a name that was made to mean this node", get, list, "evil.example:8080", nil, true},
		{"a name without a port that was", get, list, "evil.example", nil, true},
		{"a short name that was", get, list, "evil:8080", nil, true},
		{"an address that is not this one", get, list, "192.0.2.7:8080", nil, true},
	} {
		r := httptest.NewRequest(test.method, "http://agent"+test.path, nil)
		r.Host = test.host
		for k, v := range test.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r.WithContext(WithPeer(t.Context(), Peer{Role: Admin})))
		if refused := w.Code == http.StatusForbidden; refused != test.refused {
			t.Errorf("%s: %d %s", test.what, w.Code, w.Body)
		}
		if test.refused && !strings.Contains(w.Body.String(), `"hint"`) {
			t.Errorf("%s: nothing helps: %s", test.what, w.Body)
		}
	}
}
