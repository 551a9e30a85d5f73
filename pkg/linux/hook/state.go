package hook

import "encoding/json"

// ociVersion is the version of the runtime specification whose state hooks are told.
const ociVersion = "1.3.0"

// Status is where a container is in its life, in the words of the runtime specification.
type Status string

// The statuses of containers.
const (
	Creating Status = "creating"
	Created  Status = "created"
	Running  Status = "running"
	Stopped  Status = "stopped"
)

// Subject is a container as hooks and those who decide for its filter are told of it.
type Subject struct {
	ID          string            `json:"id"`
	Pid         int               `json:"pid"` // of its first process, 0 for none
	Bundle      string            `json:"bundle"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// State is the JSON text of a container's state, as the runtime specification has it.
func (s Subject) State(status Status) ([]byte, error) {
	return json.Marshal(struct {
		Version string `json:"ociVersion"`
		Status  Status `json:"status"`
		Subject
	}{ociVersion, status, s})
}
