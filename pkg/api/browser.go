package api

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// A browser can reach the socket through a forwarded port (ssh -L), and so can any site that is open in it. So what comes from a browser only
// looks, and only for a page that came from here.

// refusedBrowser tells why a request that comes from a browser is refused; nil for those that are not, and for all other programs.
func refusedBrowser(r *http.Request, needed Role) *Error {
	host, site, origin := r.Host, r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	e := &Error{Reason: ReasonForbidden}
	switch {
	case strings.ContainsAny(host, ".:") && !LoopbackHost(host):
		// A name of another site that was made to mean this one. Browsers send no more than it; other programs say any word for a host.
		e.Message, e.Text = "requests to the host "+host+" are not for this agent", "ask for localhost"
	case site == "" && origin == "":
		return nil
	case needed > Read || r.Method != http.MethodGet && r.Method != http.MethodHead:
		e.Message, e.Text = "a browser can look, and change nothing", "use the command line"
	case r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && opened(r.URL.Path):
		return nil // somebody followed a link to the page
	case site != "" && site != "same-origin" && site != "none", origin != "" && !sameOrigin(origin, host):
		e.Message, e.Text = "the request comes from a page of another site", "open /ui/"
	default:
		return nil
	}
	return e
}

// opened tells whether a path is one that a link of another site may lead to: the page, and the way to it.
func opened(path string) bool { return path == "/" || strings.HasPrefix(path+"/", "/ui/") }

func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// LoopbackHost tells whether the host of a request, with a port or without, is this node's loopback: localhost, 127.0.0.1, [::1].
func LoopbackHost(host string) bool {
	u := url.URL{Host: host}
	name := u.Hostname()
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}
