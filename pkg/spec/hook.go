package spec

import "time"

// Hooks are programs that run at points of a container's life, as the runtime-spec of the OCI has them: each list in order, each with
// the container's state as JSON on its standard input. One that fails or lasts too long ends the start, and the end of what it wrote is told; of poststart
// and poststop it is only told. Each can write 1 MiB.
type Hooks struct {
	// CreateRuntime runs on the node, when the container's namespaces and mounts are made and its root is not entered yet.
	CreateRuntime []Hook `json:"createRuntime,omitzero" class:"replace"`
	// CreateContainer runs in the container's namespaces, after createRuntime, while / is still the node's.
	CreateContainer []Hook `json:"createContainer,omitzero" class:"replace"`
	// StartContainer runs in the container, last before its command, with what the command has of users and privileges; what it leaves running is killed.
	StartContainer []Hook `json:"startContainer,omitzero" class:"replace"`
	// Poststart runs on the node, when the command is executed.
	Poststart []Hook `json:"poststart,omitzero" class:"replace"`
	// Poststop runs on the node, when the process has ended: before it is started again, or the container is gone. It may run again if the agent ends meanwhile.
	Poststop []Hook `json:"poststop,omitzero" class:"replace"`
}

// Hook is a program that runs at a point of a container's life.
type Hook struct {
	// Path is the absolute path of the program: on the node, or with startContainer in the container.
	Path string `json:"path" class:"replace" format:"path"`
	// Args are its arguments, its own name first. Default: path alone.
	Args []string `json:"args,omitzero" class:"replace" format:"argument"`
	// Env is its whole environment.
	Env map[string]string `json:"env,omitzero" class:"replace" keys:"envName" format:"argument"`
	// Timeout is how long it may last before it is killed. Default 30s.
	Timeout Duration `json:"timeout,omitzero" class:"replace" min:"1ms" max:"10m"`
}

// DefaultHookTimeout is how long a hook may last that does not say.
const DefaultHookTimeout = Duration(30 * time.Second)

// Argv are the hook's arguments, its own name first.
func (h Hook) Argv() []string {
	if len(h.Args) == 0 {
		return []string{h.Path}
	}
	return h.Args
}
