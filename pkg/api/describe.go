package api

import (
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Route is one path of the API with what there is to say of it. The agent does not need that: it has the document that is made of it.
type Route struct {
	// Method and Path are as in http.ServeMux, ID names the operation for programs.
	Method, Path, ID string
	// Role is what a caller needs.
	Role Role
	// Archive tells that the body is bytes of any number.
	Archive bool
	Description
}

// Description is what a route takes and gives.
type Description struct {
	// Text says for people what it does.
	Text  string
	Query []Parameter
	// Body is a value of what the request holds, nil for nothing; all of it is optional.
	Body any
	// Answer is a value of the one that is answered, Line of those of a stream, with watch=1 where there is an Answer, too. Types are the content
	// types of an answer that is plain bytes.
	Answer, Line any
	Types        []string
	// Session tells that the connection becomes a session, see SessionProtocol; a detached one is answered.
	Session bool
	// Errors are the reasons of its own failures, beside those of CommonErrors.
	Errors []Reason
}

// Parameter is one of a query.
type Parameter struct {
	Name, Text string
	// Format is "" for a text, or switch (1 or nothing), number, time, duration; many may be said more than once.
	Format string
	Values []string // the only ones, if they are few
}

// Routes are all paths below /v1.
func Routes() []Route {
	descriptions := descriptions()
	var list []Route
	for _, r := range routes() {
		description, ok := descriptions[r.id]
		if !ok {
			panic("api: nothing is said of " + r.id)
		}
		delete(descriptions, r.id)
		list = append(list, Route{r.method, r.path, r.id, r.role, r.archive, description})
	}
	for id := range descriptions {
		panic("api: no route " + id)
	}
	return list
}

// CommonErrors are the reasons for which any request may fail.
func CommonErrors() []Reason {
	return []Reason{ReasonInvalid, ReasonForbidden, ReasonBusy, ReasonTimeout, ReasonInternal}
}

// Status is the HTTP status of a reason.
func (r Reason) Status() int { return reasons[r].status }

// Words are the parts of a path that stand for something: name, id.
func (r Route) Words() (words []string) {
	for _, part := range strings.Split(r.Path, "/") {
		if word, ok := strings.CutPrefix(part, "{"); ok {
			words = append(words, strings.TrimSuffix(word, "}"))
		}
	}
	return words
}

// Parameters that several routes have.
var (
	watchParameter = Parameter{Name: "watch", Format: "switch", Text: "1 for a stream of lines of JSON, until the caller leaves."}
	agentParameter = Parameter{Name: "agent", Text: "The life of the agent that the number is of; of another one it has expired."}
)

// descriptions are what there is to say of each route, by its ID.
func descriptions() map[string]Description {
	verbErrors := []Reason{ReasonNotFound, ReasonConflict, ReasonNotRunning, ReasonInUse, ReasonTooLarge, ReasonUnsupported}
	imageErrors := []Reason{ReasonNotFound, ReasonConflict, ReasonInUse, ReasonTooLarge, ReasonUnsupported}
	list := map[string]Description{
		"getDocument": {
			Text:  "This document.",
			Types: []string{"application/json"},
		},
		"getVersion": {
			Text:   "Who answers.",
			Answer: Version{},
		},
		"listContainers": {
			Text: "All containers by name; with watch=1 every change after resourceVersion, or without it first all containers as Added. A Bookmark follows what was there already, and comes every 30 s; it has the agent that goes with its version.",
			Query: []Parameter{
				watchParameter, agentParameter,
				{Name: "resourceVersion", Format: "number", Text: "Go on after this change. One that is forgotten is answered with 410: list again. Say agent as well: without it the number is taken for one of the agent that answers, whoever that is by now."},
			},
			Answer: List{},
			Line:   Change{},
			Errors: []Reason{ReasonExpired},
		},
		"getContainer": {
			Text:   "One container.",
			Answer: spec.Object{},
			Errors: []Reason{ReasonNotFound},
		},
		"getStats": {
			Text:   "What one container uses and has used.",
			Answer: spec.Stats{},
			Errors: []Reason{ReasonNotFound, ReasonConflict},
		},
		"listProcesses": {
			Text:   "The processes of one container, by number.",
			Answer: []spec.Process{},
			Errors: []Reason{ReasonNotFound, ReasonConflict},
		},
		"getDrift": {
			Text:   "Look at once, as the agent does every so often, for what the kernel shows otherwise than the manifest. Nothing is done about it.",
			Answer: []spec.Drift{},
			Errors: []Reason{ReasonNotFound, ReasonConflict, ReasonNotRunning},
		},
		"repairDrift": {
			Text:   "Look at once for what the kernel shows otherwise than the manifest, and have put back what can be. The answer is what was found.",
			Body:   struct{}{},
			Answer: []spec.Drift{},
			Errors: []Reason{ReasonNotFound, ReasonConflict, ReasonNotRunning, ReasonTooLarge},
		},
		"listRevisions": {
			Text:   "The manifests of one container that are remembered, the newest last.",
			Answer: []spec.Revision{},
			Errors: []Reason{ReasonNotFound},
		},
		"getLogs": {
			Text: "What one container wrote, as it wrote it.",
			Query: []Parameter{
				{Name: "follow", Format: "switch", Text: "1 to go on with new output until the caller leaves."},
				{Name: "previous", Format: "switch", Text: "1 for what was written before the current start of the process."},
				{Name: "timestamps", Format: "switch", Text: "1 for the time of each line in front of it."},
				{Name: "since", Format: "time", Text: "Nothing older."},
				{Name: "until", Format: "time", Text: "Nothing newer; a stream that follows ends then."},
				{Name: "tail", Format: "number", Text: "Only so many lines, the last ones."},
				{Name: "stream", Values: []string{"stdout", "stderr"}, Text: "Only one of both."},
			},
			Types:  []string{"application/octet-stream"},
			Errors: []Reason{ReasonNotFound},
		},
		"exec": {
			Text:    "Start a further process in a container. It may be any program, with capabilities of its own, in a container that may have the node's files: that is as much as root.",
			Body:    spec.Exec{},
			Answer:  Begin{},
			Session: true,
			Errors:  append([]Reason{ReasonCommandNotFound, ReasonCommandNotExecutable}, verbErrors...),
		},
		"attach": {
			Text:    "Join the input and output of a container's own process, which may be a shell.",
			Body:    struct{}{},
			Session: true,
			Errors:  verbErrors,
		},
		"checkpoint": {
			Text:   "Take an image of a container, and of those of its group with it. Who leaves before it is complete wants none.",
			Body:   spec.CheckpointOptions{},
			Answer: spec.Image{},
			Errors: verbErrors,
		},
		"restore": {
			Text:   "Ask for a new run that begins from an image.",
			Body:   RestoreRequest{},
			Answer: spec.Object{},
			Errors: verbErrors,
		},
		"listEvents": {
			Text: "The events that are kept, oldest first; with watch=1 those, and then new ones.",
			Query: []Parameter{
				watchParameter, agentParameter,
				{Name: "name", Text: "Only those of one container."},
				{Name: "since", Format: "number", Text: "Only those with a larger id."},
			},
			Answer: []Event{},
			Line:   Event{},
			Errors: []Reason{ReasonExpired},
		},
		"listStats": {
			Text: "What containers use and have used; with watch=1 a whole list every interval.",
			Query: []Parameter{
				watchParameter,
				{Name: "name", Format: "many", Text: "Only these containers."},
				{Name: "interval", Format: "duration", Text: "Of a watch, 100ms to 1h. Default 2s."},
			},
			Answer: StatsList{},
			Line:   StatsList{},
			Errors: []Reason{ReasonNotFound},
		},
		"listSources": {
			Text:   "The directories of manifests as the agent last read them.",
			Answer: []Source{},
		},
		"getConfiguration": {
			Text:   "What the agent runs with, where each value was said, and what waits for a restart.",
			Answer: Configuration{},
		},
		"reload": {
			Text:   "Read the configuration and all manifests anew, and answer when that is done. A configuration with problems is answered as well: it is not in force, and what was before is.",
			Answer: Configuration{},
			Errors: []Reason{ReasonUnsupported},
		},
		"getPlan": {
			Text:   "What the agent would do now. Of a container that it is at work on, that is the verb which is under way, and since when.",
			Answer: Plan{},
		},
		"listFeatures": {
			Text:   "What the node can do.",
			Answer: []Feature{},
		},
		"confirmPrune": {
			Text:   "Let the removals go on that the guard holds back.",
			Body:   PruneRequest{},
			Answer: []Source{},
			Errors: []Reason{ReasonNotFound, ReasonConflict, ReasonTooLarge},
		},
		"shutdown": {
			Text:   "Bring all containers down because the node goes down. The agent starts nothing any more.",
			Body:   ShutdownRequest{},
			Answer: List{},
			Errors: []Reason{ReasonConflict, ReasonTooLarge},
		},
		"drain": {
			Text:   "Bring all containers down until undrain.",
			Body:   DrainRequest{},
			Answer: List{},
			Errors: []Reason{ReasonConflict, ReasonTooLarge},
		},
		"undrain": {
			Text:   "Let the manifests decide again.",
			Answer: List{},
			Errors: []Reason{ReasonConflict},
		},
		"listImages": {
			Text:   "The images of all containers, oldest first. Those of a container that is gone are among them.",
			Query:  []Parameter{{Name: "container", Text: "Only those of one container."}},
			Answer: ImageList{},
		},
		"importImage": {
			Text:   "Make an image of an archive. It is there when all of it is, or not at all.",
			Query:  []Parameter{{Name: "name", Text: "The container that it becomes one of. Default: the archive's own."}},
			Answer: spec.Image{},
			Errors: imageErrors,
		},
		"getImage": {
			Text:   "What is in an image, as was written down when it was taken: verify reads all of it.",
			Answer: spec.ImageDetails{},
			Errors: imageErrors,
		},
		"removeImage": {
			Text:   "Remove an image, and say what it was.",
			Answer: spec.Image{},
			Errors: imageErrors,
		},
		"keepImage": {
			Text:   "Put an image aside, so that retention leaves it alone, or give it back.",
			Body:   KeepRequest{},
			Answer: spec.Image{},
			Errors: imageErrors,
		},
		"verifyImage": {
			Text:   "Read an image as a restore would before it starts anything.",
			Body:   struct{}{},
			Answer: spec.Image{},
			Errors: imageErrors,
		},
		"exportImage": {
			Text:   "An image as one archive: the memory of its processes, with every secret in it.",
			Query:  []Parameter{{Name: "compress", Format: "switch", Text: "1 for a compressed one."}},
			Types:  []string{archiveTypes[false], archiveTypes[true]},
			Errors: imageErrors,
		},
	}
	for _, verb := range []struct {
		id, text string
		body     any
	}{
		{"pauseContainer", "Freeze it where it is.", OverrideRequest{}},
		{"resumeContainer", "Let it run on.", OverrideRequest{}},
		{"startContainer", "Have it run, whatever its manifest says.", OverrideRequest{}},
		{"stopContainer", "Have it stopped, whatever its manifest says.", OverrideRequest{}},
		{"suspendContainer", "Have the agent do nothing about it.", OverrideRequest{}},
		{"clearContainer", "Let its manifest decide again.", OverrideRequest{}},
		{"restartContainer", "Start its process anew, in the same instance.", nil},
		{"killContainer", "Send a signal to its process 1; SIGKILL goes to all.", KillRequest{}},
		{"undoContainer", "Put an earlier manifest in force.", UndoRequest{}},
	} {
		list[verb.id] = Description{
			Text: verb.text + " The answer is the container before the agent has acted on it.", Body: verb.body, Answer: spec.Object{}, Errors: verbErrors,
		}
	}
	return list
}
