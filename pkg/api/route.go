package api

import (
	"net/http"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// route is one path of the API: the mux is made of them, and with what Routes says beside, the OpenAPI document.
type route struct {
	method, path string // as in http.ServeMux
	id           string // names the operation for programs
	role         Role   // what a caller needs
	serve        func(*Server) http.Handler
	archive      bool // the body is of any size
}

// pattern is the route as http.ServeMux has it.
func (r route) pattern() string { return r.method + " " + r.path }

// The paths of one container and of one image.
const (
	pathContainer = "/v1/containers/{name}"
	pathImage     = "/v1/images/{name}/{id}"
)

// routes are all paths below /v1.
func routes() []route {
	return []route{
		{get, "/v1/openapi.json", "getDocument", Read, func(*Server) http.Handler { return http.HandlerFunc(serveDocument) }, false},
		{get, "/v1/version", "getVersion", Read, onceBy((*Server).version), false},
		{get, "/v1/containers", "listContainers", Read, eitherBy((*Server).containers, (*Server).watchContainers), false},
		{get, pathContainer, "getContainer", Read, onceBy((*Server).container), false},
		{get, pathContainer + "/stats", "getStats", Read, onceBy((*Server).stats), false},
		{get, pathContainer + "/processes", "listProcesses", Read, onceBy((*Server).processes), false},
		{get, pathContainer + "/drift", "getDrift", Read, onceBy((*Server).drift), false},
		{post, pathContainer + "/drift", "repairDrift", Operate, onceBy((*Server).repairDrift), false},
		{get, pathContainer + "/revisions", "listRevisions", Read, onceBy((*Server).revisions), false},
		{get, pathContainer + "/logs", "getLogs", Read, streamBy((*Server).logs), false},
		{post, pathContainer + "/exec", "exec", Admin, sessionBy((*Server).exec), false},
		{post, pathContainer + "/attach", "attach", Admin, sessionBy((*Server).attach), false},
		{post, pathContainer + "/checkpoint", "checkpoint", Operate, longBy((*Server).checkpoint), false},
		{post, pathContainer + "/restore", "restore", Operate, longBy((*Server).restore), false},
		{get, "/v1/events", "listEvents", Read, eitherBy((*Server).events, (*Server).watchEvents), false},
		{get, "/v1/stats", "listStats", Read, eitherBy((*Server).allStats, (*Server).watchStats), false},
		{get, "/v1/sources", "listSources", Read, onceBy((*Server).sources), false},
		{get, "/v1/config", "getConfiguration", Read, onceBy((*Server).configuration), false},
		{post, "/v1/reload", "reload", Admin, longBy((*Server).reload), false},
		{get, "/v1/plan", "getPlan", Read, onceBy((*Server).plan), false},
		{get, "/v1/features", "listFeatures", Read, onceBy((*Server).features), false},
		{post, "/v1/prune", "confirmPrune", Admin, onceBy((*Server).prune), false},
		{post, "/v1/shutdown", "shutdown", Admin, longBy((*Server).shutdown), false},
		{post, "/v1/drain", "drain", Admin, longBy((*Server).drainNode), false},
		{post, "/v1/undrain", "undrain", Admin, onceBy((*Server).undrain), false},
		{get, "/v1/images", "listImages", Read, onceBy((*Server).images), false},
		{post, "/v1/images", "importImage", Admin, moving(longBy((*Server).importImage)), true},
		{get, pathImage, "getImage", Read, onceBy((*Server).showImage), false},
		{http.MethodDelete, pathImage, "removeImage", Admin, onceBy((*Server).removeImage), false},
		{post, pathImage + "/keep", "keepImage", Operate, onceBy((*Server).keepImage), false},
		{post, pathImage + "/verify", "verifyImage", Operate, longBy((*Server).verifyImage), false},
		{get, pathImage + "/export", "exportImage", Admin, moving(streamBy((*Server).exportImage)), false},
		{post, pathContainer + "/pause", "pauseContainer", Operate, onceBy(verb(override(spec.StatePaused))), false},
		{post, pathContainer + "/resume", "resumeContainer", Operate, onceBy(verb(override(spec.StateRunning))), false},
		{post, pathContainer + "/start", "startContainer", Operate, onceBy(verb(override(spec.StateRunning))), false},
		{post, pathContainer + "/stop", "stopContainer", Operate, onceBy(verb(override(spec.StateStopped))), false},
		{post, pathContainer + "/suspend", "suspendContainer", Operate, onceBy(verb((*Server).suspend)), false},
		{post, pathContainer + "/clear", "clearContainer", Operate, onceBy(verb(override(""))), false},
		{post, pathContainer + "/restart", "restartContainer", Operate, onceBy(verb((*Server).restart)), false},
		{post, pathContainer + "/kill", "killContainer", Operate, onceBy(verb((*Server).kill)), false},
		{post, pathContainer + "/undo", "undoContainer", Operate, onceBy(verb((*Server).undo)), false},
	}
}

const (
	get  = http.MethodGet
	post = http.MethodPost
)

// Kinds of service, see route.
func onceBy(a answer) func(*Server) http.Handler {
	return func(s *Server) http.Handler { return s.once(a) }
}

func longBy(a answer) func(*Server) http.Handler {
	return func(s *Server) http.Handler { return s.long(a) }
}

func streamBy(h streaming) func(*Server) http.Handler {
	return func(s *Server) http.Handler { return s.stream(h) }
}

func eitherBy(a answer, h streaming) func(*Server) http.Handler {
	return func(s *Server) http.Handler { return either{s.once(a), s.stream(h)} }
}

func sessionBy(o opening) func(*Server) http.Handler {
	return func(s *Server) http.Handler { return s.session(o) }
}

// moving lets few archives be on their way at one time.
func moving(serve func(*Server) http.Handler) func(*Server) http.Handler {
	return func(s *Server) http.Handler { return s.moving.within(errMoving, serve(s).ServeHTTP) }
}
