package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// nobody is whom the API sees behind the loopback address: some user of the node, who may look.
var nobody = api.Peer{UID: 65534, GID: 65534, Role: api.Read, Address: "the web page's address"}

// Guard lets the page through, and looks at the API by those who have the token, whatever else they are. Anything that is no GET is
// refused before anybody asks who calls, and so is a request that thinks it talks to another host: another site's name may have been made to mean this address.
func Guard(next http.Handler, token string) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := strings.HasPrefix(r.URL.Path+"/", Prefix) || r.URL.Path == "/"
		got := sha256.Sum256([]byte(r.Header.Get("Authorization"))) // of one length: how long a comparison takes tells nothing
		switch {
		case !api.LoopbackHost(r.Host):
			http.Error(w, "this is served to the node itself: ask for 127.0.0.1 or localhost", http.StatusMisdirectedRequest)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "from here one can only look: use the socket", http.StatusMethodNotAllowed)
		case !page && subtle.ConstantTimeCompare(got[:], want[:]) != 1:
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a token is needed: open what `reconciler web` prints", http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r.WithContext(api.WithPeer(r.Context(), nobody)))
		}
	})
}
