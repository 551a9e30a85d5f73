// Package api serves the agent's versioned HTTP and JSON interface on a unix socket: it checks who calls, bounds
// what a caller may cost, and turns requests into calls of the small interfaces it declares. It refuses to know how
// a container is made, what a manifest file looks like, and how a terminal is drawn.
//
// Everything below /v1 is JSON. Streams (watch=1) are one JSON value a line; logs are plain bytes, and so is the archive of an
// image, out and in; exec and attach become sessions, see SessionProtocol. What takes as long as an image does has no deadline, and is given up when its
// caller leaves. Every error is
//
//	{"error": {"reason": "NotFound", "message": "...", "hint": "..."}}
//
// with the HTTP status that fits. Try it by hand:
//
//	curl --unix-socket /run/reconciler/reconciler.sock http://localhost/v1/containers
package api

//go:generate go generate ../spec
//go:generate go run ../../internal/genapi
