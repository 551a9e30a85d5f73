package spec

import (
	"strings"
	"time"

	yamltree "go.yaml.in/yaml/v3"
)

// Lifecycle are things to do in the container after its process has started and before it is asked to end. Unlike hooks they need a process that runs.
type Lifecycle struct {
	// PostStart is done when the process has started, beside it; until it has succeeded the container is not ready. If it fails, the process is stopped, which counts as a failed run. A run that begins from an image has none. It may be done twice if the agent ends meanwhile.
	PostStart *Handler `json:"postStart,omitzero" class:"live"`
	// PreStop is done before the stop signal is sent, which it puts off by its timeout at most. The stop goes on if it fails. It may be done twice if the agent ends meanwhile. Nothing is done in a container that is paused.
	PreStop *Handler `json:"preStop,omitzero" class:"live"`
}

// Handler is one thing to do, of one kind: exec, http or sleep.
type Handler struct {
	// Exec runs a command in the container; it succeeds with 0.
	Exec *ExecProbe `json:"exec,omitzero" class:"live"`
	// HTTP is a GET from inside the container's network; it succeeds with a status from 200 to 399.
	HTTP *HTTPProbe `json:"http,omitzero" class:"live"`
	// Sleep waits.
	Sleep Duration `json:"sleep,omitzero" class:"live" min:"1ms" max:"10m"`
	// Timeout is how long exec and http may take before they have failed. Default 30s.
	Timeout Duration `json:"timeout,omitzero" class:"live" min:"1ms" max:"10m"`
}

// DefaultHandlerTimeout is how long a handler may take that does not say.
const DefaultHandlerTimeout = Duration(30 * time.Second)

// Lasts is how long a handler takes at most.
func (h *Handler) Lasts() time.Duration {
	switch {
	case h == nil:
		return 0
	case h.Sleep > 0:
		return time.Duration(h.Sleep)
	case h.Timeout > 0:
		return time.Duration(h.Timeout)
	}
	return time.Duration(DefaultHandlerTimeout)
}

// Probe is what a handler asks, once.
func (h *Handler) Probe() Probe {
	return Probe{HTTP: h.HTTP, Exec: h.Exec, Timeout: Duration(h.Lasts())}
}

// handlerKinds are the kinds of a handler, of which one is said.
var handlerKinds = []string{"exec", "http", "sleep"}

// agreeLifecycle checks that each handler is of one kind.
func (c *checker) agreeLifecycle(spec *yamltree.Node) {
	for key, handler := range keys(at(spec, "lifecycle")) {
		if handler.Kind != yamltree.MappingNode {
			continue
		}
		path := joinKey("spec.lifecycle", key.Value)
		kinds := saidKinds(handler, handlerKinds)
		switch {
		case len(kinds) == 0:
			c.add(handler, path, fault{"says not what to do", "say one of " + strings.Join(handlerKinds, ", ")})
		case len(kinds) > 1:
			c.add(kinds[1], joinField(path, kinds[1].Value), fault{kinds[0].Value + " is said already", "a handler is of one kind: remove one"})
		}
		if n := at(handler, "timeout"); n != nil && at(handler, "sleep") != nil {
			c.add(n, joinField(path, "timeout"), fault{"is of no use with sleep", "remove it"})
		}
		c.agreeCommand(joinField(path, "exec.command"), at(handler, "exec", "command"))
	}
}
