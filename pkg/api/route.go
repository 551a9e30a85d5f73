package api

import (
	"net/http"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Route is one path of the API: the mux and the OpenAPI document are both made of Routes, so that neither knows more than the other.
type Route struct {
	// Method and Path are as in http.ServeMux, ID names the operation for programs, and Text says for people what it does.
	Method, Path, ID, Text string
	// Role is what a caller needs.
	Role  Role
	Query []Parameter
	// Body is a value of what the request holds, nil for nothing; all of it is optional. Archive tells that it is bytes of any number.
	Body    any
	Archive bool
	// Answer is a value of the one that is answered, Line of those of a stream, with watch=1 where there is an Answer, too. Types are the content
	// types of an answer that is plain bytes.
	Answer, Line any
	Types        []string
	// Session tells that the connection becomes a session, see SessionProtocol; a detached one is answered.
	Session bool
	// Errors are the reasons of its own failures, beside those of CommonErrors.
	Errors []Reason

	serve func(*Server) http.Handler
}

// Parameter is one of a query.
type Parameter struct {
	Name, Text string
	// Format is "" for a text, or switch (1 or nothing), number, time, duration; many may be said more than once.
	Format string
	Values []string // the only ones, if they are few
}

// CommonErrors are the reasons for which any request may fail.
func CommonErrors() []Reason {
	return []Reason{ReasonInvalid, ReasonForbidden, ReasonBusy, ReasonTimeout, ReasonInternal}
}

// Status is the HTTP status of a reason.
func (r Reason) Status() int { return reasons[r].status }

// Pattern is the route as http.ServeMux has it.
func (r Route) Pattern() string { return r.Method + " " + r.Path }

// Kinds of service, see Route.
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

// Parameters that several routes have.
var (
	watchParameter = Parameter{Name: "watch", Format: "switch", Text: "1 for a stream of lines of JSON, until the caller leaves."}
	agentParameter = Parameter{Name: "agent", Text: "The life of the agent that the number is of; of another one it has expired."}
)

// Routes are all paths below /v1.
func Routes() []Route {
	const container, image = "/v1/containers/{name}", "/v1/images/{name}/{id}"
	verbErrors := []Reason{ReasonNotFound, ReasonConflict, ReasonNotRunning, ReasonInUse, ReasonTooLarge, ReasonUnsupported}
	imageErrors := []Reason{ReasonNotFound, ReasonConflict, ReasonInUse, ReasonTooLarge, ReasonUnsupported}
	list := []Route{
		{
			Method: "GET", Path: "/v1/openapi.json", ID: "getDocument", Text: "This document.", Role: Read, Types: []string{"application/json"},
			serve: func(*Server) http.Handler { return http.HandlerFunc(serveDocument) },
		},
		{
			Method: "GET", Path: "/v1/version", ID: "getVersion", Text: "Who answers.", Role: Read, Answer: Version{}, serve: onceBy((*Server).version),
		},
		{
			Method: "GET", Path: "/v1/containers", ID: "listContainers", Role: Read, Answer: List{}, Line: Change{}, Errors: []Reason{ReasonExpired},
			Text: "All containers by name; with watch=1 every change after resourceVersion, or without it first all containers as Added. A Bookmark follows what was there already, and comes every 30 s.",
			Query: []Parameter{
				watchParameter, agentParameter,
				{Name: "resourceVersion", Format: "number", Text: "Go on after this change. One that is forgotten is answered with 410: list again."},
			},
			serve: eitherBy((*Server).containers, (*Server).watchContainers),
		},
		{
			Method: "GET", Path: container, ID: "getContainer", Text: "One container.", Role: Read, Answer: spec.Object{}, Errors: []Reason{ReasonNotFound},
			serve: onceBy((*Server).container),
		},
		{
			Method: "GET", Path: container + "/stats", ID: "getStats", Text: "What one container uses and has used.", Role: Read, Answer: spec.Stats{},
			Errors: []Reason{ReasonNotFound, ReasonConflict}, serve: onceBy((*Server).stats),
		},
		{
			Method: "GET", Path: container + "/processes", ID: "listProcesses", Text: "The processes of one container, by number.", Role: Read,
			Answer: []spec.Process{}, Errors: []Reason{ReasonNotFound, ReasonConflict}, serve: onceBy((*Server).processes),
		},
		{
			Method: "GET", Path: container + "/drift", ID: "getDrift", Role: Read, Answer: []spec.Drift{}, Errors: []Reason{ReasonNotFound, ReasonConflict, ReasonNotRunning},
			Text:  "Look at once, as the agent does every so often, for what the kernel shows otherwise than the manifest. What can be put back is.",
			serve: onceBy((*Server).drift),
		},
		{
			Method: "GET", Path: container + "/revisions", ID: "listRevisions", Text: "The manifests of one container that are remembered, the newest last.", Role: Read,
			Answer: []spec.Revision{}, Errors: []Reason{ReasonNotFound}, serve: onceBy((*Server).revisions),
		},
		{
			Method: "GET", Path: container + "/logs", ID: "getLogs", Text: "What one container wrote, as it wrote it.", Role: Read, Types: []string{"application/octet-stream"},
			Errors: []Reason{ReasonNotFound}, serve: streamBy((*Server).logs),
			Query: []Parameter{
				{Name: "follow", Format: "switch", Text: "1 to go on with new output until the caller leaves."},
				{Name: "previous", Format: "switch", Text: "1 for what was written before the current start of the process."},
				{Name: "timestamps", Format: "switch", Text: "1 for the time of each line in front of it."},
				{Name: "since", Format: "time", Text: "Nothing older."},
				{Name: "tail", Format: "number", Text: "Only so many lines, the last ones."},
				{Name: "stream", Values: []string{"stdout", "stderr"}, Text: "Only one of both."},
			},
		},
		{
			Method: "POST", Path: container + "/exec", ID: "exec", Role: Admin, Body: spec.Exec{}, Answer: Begin{}, Session: true,
			Text:   "Start a further process in a container. It may be any program, with capabilities of its own, in a container that may have the node's files: that is as much as root.",
			Errors: append([]Reason{ReasonCommandNotFound, ReasonCommandNotExecutable}, verbErrors...), serve: sessionBy((*Server).exec),
		},
		{
			Method: "POST", Path: container + "/attach", ID: "attach", Role: Admin, Body: struct{}{}, Session: true, Errors: verbErrors, serve: sessionBy((*Server).attach),
			Text: "Join the input and output of a container's own process, which may be a shell.",
		},
		{
			Method: "POST", Path: container + "/checkpoint", ID: "checkpoint", Role: Operate, Body: spec.CheckpointOptions{}, Answer: spec.Image{},
			Text:   "Take an image of a container, and of those of its group with it. Who leaves before it is complete wants none.",
			Errors: verbErrors, serve: longBy((*Server).checkpoint),
		},
		{
			Method: "POST", Path: container + "/restore", ID: "restore", Text: "Ask for a new run that begins from an image.", Role: Operate, Body: RestoreRequest{},
			Answer: spec.Object{}, Errors: verbErrors, serve: longBy((*Server).restore),
		},
		{
			Method: "GET", Path: "/v1/events", ID: "listEvents", Role: Read, Answer: []Event{}, Line: Event{}, Errors: []Reason{ReasonExpired},
			Text: "The events that are kept, oldest first; with watch=1 those, and then new ones.",
			Query: []Parameter{
				watchParameter, agentParameter,
				{Name: "name", Text: "Only those of one container."},
				{Name: "since", Format: "number", Text: "Only those with a larger id."},
			},
			serve: eitherBy((*Server).events, (*Server).watchEvents),
		},
		{
			Method: "GET", Path: "/v1/stats", ID: "listStats", Role: Read, Answer: StatsList{}, Line: StatsList{}, Errors: []Reason{ReasonNotFound},
			Text: "What containers use and have used; with watch=1 a whole list every interval.",
			Query: []Parameter{
				watchParameter,
				{Name: "name", Format: "many", Text: "Only these containers."},
				{Name: "interval", Format: "duration", Text: "Of a watch, 100ms to 1h. Default 2s."},
			},
			serve: eitherBy((*Server).allStats, (*Server).watchStats),
		},
		{
			Method: "GET", Path: "/v1/sources", ID: "listSources", Text: "The directories of manifests as the agent last read them.", Role: Read, Answer: []Source{},
			serve: onceBy((*Server).sources),
		},
		{
			Method: "GET", Path: "/v1/plan", ID: "getPlan", Text: "What the agent would do now.", Role: Read, Answer: Plan{}, serve: onceBy((*Server).plan),
		},
		{
			Method: "GET", Path: "/v1/features", ID: "listFeatures", Text: "What the node can do.", Role: Read, Answer: []Feature{}, serve: onceBy((*Server).features),
		},
		{
			Method: "POST", Path: "/v1/prune", ID: "confirmPrune", Text: "Let the removals go on that the guard holds back.", Role: Admin, Body: PruneRequest{},
			Answer: []Source{}, Errors: []Reason{ReasonNotFound, ReasonConflict, ReasonTooLarge}, serve: onceBy((*Server).prune),
		},
		{
			Method: "POST", Path: "/v1/shutdown", ID: "shutdown", Role: Admin, Body: ShutdownRequest{}, Answer: List{}, Errors: []Reason{ReasonConflict, ReasonTooLarge},
			Text: "Bring all containers down because the node goes down. The agent starts nothing any more.", serve: longBy((*Server).shutdown),
		},
		{
			Method: "POST", Path: "/v1/drain", ID: "drain", Text: "Bring all containers down until undrain.", Role: Admin, Body: DrainRequest{}, Answer: List{},
			Errors: []Reason{ReasonConflict, ReasonTooLarge}, serve: longBy((*Server).drainNode),
		},
		{
			Method: "POST", Path: "/v1/undrain", ID: "undrain", Text: "Let the manifests decide again.", Role: Admin, Answer: List{}, Errors: []Reason{ReasonConflict},
			serve: onceBy((*Server).undrain),
		},
		{
			Method: "GET", Path: "/v1/images", ID: "listImages", Text: "The images of all containers, oldest first. Those of a container that is gone are among them.", Role: Read,
			Query: []Parameter{{Name: "container", Text: "Only those of one container."}}, Answer: ImageList{}, serve: onceBy((*Server).images),
		},
		{
			Method: "POST", Path: "/v1/images", ID: "importImage", Role: Admin, Archive: true, Answer: spec.Image{}, Errors: imageErrors,
			Text:  "Make an image of an archive. It is there when all of it is, or not at all.",
			Query: []Parameter{{Name: "name", Text: "The container that it becomes one of. Default: the archive's own."}},
			serve: moving(longBy((*Server).importImage)),
		},
		{
			Method: "GET", Path: image, ID: "getImage", Text: "What is in an image, all of which is read.", Role: Read, Answer: spec.ImageDetails{}, Errors: imageErrors,
			serve: longBy((*Server).showImage),
		},
		{
			Method: "DELETE", Path: image, ID: "removeImage", Text: "Remove an image, and say what it was.", Role: Admin, Answer: spec.Image{}, Errors: imageErrors,
			serve: onceBy((*Server).removeImage),
		},
		{
			Method: "POST", Path: image + "/keep", ID: "keepImage", Text: "Put an image aside, so that retention leaves it alone, or give it back.", Role: Operate,
			Body: KeepRequest{}, Answer: spec.Image{}, Errors: imageErrors, serve: onceBy((*Server).keepImage),
		},
		{
			Method: "POST", Path: image + "/verify", ID: "verifyImage", Text: "Read an image as a restore would before it starts anything.", Role: Operate,
			Body: struct{}{}, Answer: spec.Image{}, Errors: imageErrors, serve: longBy((*Server).verifyImage),
		},
		{
			Method: "GET", Path: image + "/export", ID: "exportImage", Role: Admin, Types: []string{archiveTypes[false], archiveTypes[true]}, Errors: imageErrors,
			Text:  "An image as one archive: the memory of its processes, with every secret in it.",
			Query: []Parameter{{Name: "compress", Format: "switch", Text: "1 for a compressed one."}},
			serve: moving(streamBy((*Server).exportImage)),
		},
	}
	for _, v := range []struct {
		word, text string
		body       any
		do         asking
	}{
		{"pause", "Freeze it where it is.", OverrideRequest{}, override(spec.StatePaused)},
		{"resume", "Let it run on.", OverrideRequest{}, override(spec.StateRunning)},
		{"start", "Have it run, whatever its manifest says.", OverrideRequest{}, override(spec.StateRunning)},
		{"stop", "Have it stopped, whatever its manifest says.", OverrideRequest{}, override(spec.StateStopped)},
		{"suspend", "Have the agent do nothing about it.", OverrideRequest{}, (*Server).suspend},
		{"clear", "Let its manifest decide again.", OverrideRequest{}, override("")},
		{"restart", "Start its process anew, in the same instance.", nil, (*Server).restart},
		{"kill", "Send a signal to its process 1; SIGKILL goes to all.", KillRequest{}, (*Server).kill},
		{"undo", "Put an earlier manifest in force.", UndoRequest{}, (*Server).undo},
	} {
		list = append(list, Route{
			Method: "POST", Path: container + "/" + v.word, ID: v.word + "Container", Role: Operate, Body: v.body, Answer: spec.Object{}, Errors: verbErrors,
			Text: v.text + " The answer is the container before the agent has acted on it.", serve: onceBy(verb(v.do)),
		})
	}
	return list
}

// Words are the parts of a path that stand for something: name, id.
func (r Route) Words() (words []string) {
	for _, part := range strings.Split(r.Path, "/") {
		if word, ok := strings.CutPrefix(part, "{"); ok {
			words = append(words, strings.TrimSuffix(word, "}"))
		}
	}
	return words
}
