package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// routes is every path of the API. An answer is one value, a long one may take its time; a stream is sent piece by piece until the caller
// leaves; a session takes the connection over. All bodies are small but that of an import.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]answer{
		"GET /v1/version":                     s.version,
		"GET /v1/containers/{name}":           s.container,
		"GET /v1/containers/{name}/stats":     s.stats,
		"GET /v1/containers/{name}/processes": s.processes,
		"GET /v1/containers/{name}/drift":     s.drift,
		"POST /v1/containers/{name}/{verb}":   s.verb,
		"GET /v1/containers/{name}/revisions": s.revisions,
		"GET /v1/sources":                     s.sources,
		"GET /v1/plan":                        s.plan,
		"GET /v1/features":                    s.features,
		"POST /v1/undrain":                    s.undrain,
		"POST /v1/prune":                      s.prune,
		"GET /v1/images":                      s.images,
		"DELETE /v1/images/{name}/{id}":       s.removeImage,
		"POST /v1/images/{name}/{id}/keep":    s.keepImage,
		"/":                                   noRoute,
	} {
		mux.Handle(pattern, h)
	}
	for pattern, h := range map[string]answer{
		"POST /v1/containers/{name}/checkpoint": s.checkpoint,
		"POST /v1/containers/{name}/restore":    s.restore,
		"POST /v1/images/{name}/{id}/verify":    s.verifyImage,
		"GET /v1/images/{name}/{id}":            s.showImage, // which reads all of it
		"POST /v1/shutdown":                     s.shutdown,
		"POST /v1/drain":                        s.drainNode,
	} {
		mux.Handle(pattern, s.long(h))
	}
	mux.Handle("GET /v1/images/{name}/{id}/export", within(s.moving, errMoving, s.stream(s.exportImage).ServeHTTP))
	mux.Handle("GET /v1/containers", either{s.containers, s.stream(s.watchContainers)})
	mux.Handle("GET /v1/events", either{s.events, s.stream(s.watchEvents)})
	mux.Handle("GET /v1/stats", either{s.allStats, s.stream(s.watchStats)})
	mux.Handle("GET /v1/containers/{name}/logs", s.stream(s.logs))
	mux.Handle("POST /v1/containers/{name}/exec", s.session(s.exec))
	mux.Handle("POST /v1/containers/{name}/attach", s.session(s.attach))
	all := http.NewServeMux()
	all.Handle("/", http.MaxBytesHandler(mux, maxBody))
	all.Handle("POST /v1/images", within(s.moving, errMoving, s.long(s.importImage).ServeHTTP))
	return all
}

// answer computes the one JSON value of a response.
type answer func(*http.Request) (any, error)

func (a answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	v, err := a(r.WithContext(ctx))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// either answers, or with watch=1 in the query streams.
type either struct {
	once  answer
	watch http.Handler
}

func (e either) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") == "1" {
		e.watch.ServeHTTP(w, r)
		return
	}
	e.once.ServeHTTP(w, r)
}

func noRoute(r *http.Request) (any, error) {
	return nil, &Error{
		Reason:  ReasonNotFound,
		Message: fmt.Sprintf("no route %s %q", r.Method, r.URL.Path),
		Text:    "this agent speaks /" + APIVersion + "; client and agent may differ in version",
	}
}

// readBody decodes an optional, strict JSON body.
func readBody(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		_, err = d.Token()
	}
	switch tooLarge, _ := errors.AsType[*http.MaxBytesError](err); {
	case errors.Is(err, io.EOF):
		return nil
	case tooLarge != nil:
		return &Error{Reason: ReasonTooLarge, Message: fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
	case err == nil:
		return &Error{Reason: ReasonInvalid, Message: "the body holds more than one value"}
	default:
		return &Error{Reason: ReasonInvalid, Message: "the body is no such JSON: " + err.Error()}
	}
}
