package api

import "time"

// Configuration is what an agent runs with: the flags of run by their keys, whoever said them.
type Configuration struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Spec is what is in force, by key.
	Spec map[string]any `json:"spec,omitzero"`
	// Sources are where each value was said, by key: FILE:LINE, a flag such as --prune, or default.
	Sources map[string]string `json:"sources,omitzero"`
	// Restart is what counts once the agent is started anew, of the keys that cannot be changed while it runs and were.
	Restart map[string]any `json:"restart,omitzero"`
	// Problems are why what the files say now is not in force.
	Problems []string `json:"problems,omitzero"`
	// Files are those that were read, in the order in which they count: the last most.
	Files []string `json:"files,omitzero"`
	// ReadAt is when.
	ReadAt time.Time `json:"readAt,omitzero"`
}
