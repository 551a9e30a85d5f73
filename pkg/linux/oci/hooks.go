package oci

import (
	"context"
	"math"
	"path"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// hookKind is one list of hooks.
type hookKind struct {
	name  string
	hooks []spec.Hook
}

// kinds are all lists, in the order in which they are run.
func (t *Translation) kinds() []hookKind {
	h := t.Container.Spec.Hooks
	return []hookKind{
		{"prestart", t.Prestart},
		{"createRuntime", h.CreateRuntime},
		{"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer},
		{"poststart", h.Poststart},
		{"poststop", h.Poststop},
	}
}

// ofCreate are the lists that create runs.
func (t *Translation) ofCreate() []hookKind { return t.kinds()[:3] }

// forever is the timeout of hooks that have none, which a manifest's always have.
const forever = spec.Duration(math.MaxInt64)

func hooks(t *translator) error {
	said := t.config.Hooks
	if said == nil {
		return nil
	}
	h := &t.s.Hooks
	for _, list := range []struct {
		name string
		to   *[]spec.Hook
		from []specs.Hook
	}{
		//lint:ignore SA1019 deprecated, and still in use
		{"prestart", &t.out.Prestart, said.Prestart},
		{"createRuntime", &h.CreateRuntime, said.CreateRuntime},
		{"createContainer", &h.CreateContainer, said.CreateContainer},
		{"startContainer", &h.StartContainer, said.StartContainer},
		{"poststart", &h.Poststart, said.Poststart},
		{"poststop", &h.Poststop, said.Poststop},
	} {
		for _, said := range list.from {
			h := spec.Hook{Path: said.Path, Args: said.Args, Env: map[string]string{}, Timeout: forever}
			if !path.IsAbs(h.Path) {
				return invalid("the path %q of a %s hook is not absolute", h.Path, list.name)
			}
			for _, word := range said.Env {
				name, value, _ := strings.Cut(word, "=")
				h.Env[name] = value
			}
			if said.Timeout != nil {
				if *said.Timeout <= 0 {
					return invalid("the timeout of the %s hook %s is not greater than zero", list.name, h.Path)
				}
				if seconds := *said.Timeout; seconds < int(time.Duration(forever)/time.Second) {
					h.Timeout = spec.Duration(time.Duration(seconds) * time.Second)
				}
			}
			*list.to = append(*list.to, h)
		}
	}
	return nil
}

// subject is what hooks are told of a container.
func subject(rec record) hook.Subject {
	return hook.Subject{ID: rec.ID, Pid: rec.Pid, Bundle: rec.Bundle, Annotations: rec.Annotations}
}

// onNode runs a list of hooks on the node, in the bundle.
func onNode(ctx context.Context, list string, hooks []spec.Hook, rec record, status hook.Status) error {
	return runHooks(ctx, list, hooks, rec, status, hook.OnNode(rec.Bundle, hook.Here))
}

func runHooks(ctx context.Context, list string, hooks []spec.Hook, rec record, status hook.Status, run hook.Runner) error {
	if len(hooks) == 0 {
		return nil
	}
	state, err := subject(rec).State(status)
	if err != nil {
		return err
	}
	return hook.Run(ctx, list, hooks, state, run)
}

// createHooks runs those of create, while the child has built its root and has not entered it.
func (m *making) createHooks(ctx context.Context, _ int) error {
	for _, kind := range m.t.ofCreate() {
		run := hook.OnNode(m.rec.Bundle, hook.Here)
		if kind.name == "createContainer" {
			run = hook.Inside(m.child.Pidfd, hook.Here)
		}
		if err := runHooks(ctx, kind.name, kind.hooks, m.rec, hook.Creating, run); err != nil {
			return err
		}
	}
	return nil
}

// startHooks runs those of the waiting child's start.
func (m *making) startHooks(ctx context.Context, _ int) error {
	return m.startContainer(ctx, m.rec, m.t)
}

// startContainer runs a container's startContainer hooks.
func (r *Runtime) startContainer(ctx context.Context, rec record, t Translation) error {
	hooks := t.Container.Spec.Hooks.StartContainer
	if len(hooks) == 0 {
		return nil
	}
	host, err := openHost()
	if err != nil {
		return err
	}
	defer host.Close()
	target, err := rec.target()
	if err != nil {
		return err
	}
	defer target.Close()
	group, err := r.group(rec)
	if err != nil {
		return err
	}
	defer group.Close()
	return runHooks(ctx, "startContainer", hooks, rec, hook.Created, hook.InContainer(r.further(rec, t), target, group, host))
}

// further is a container for further processes: without capabilities that nobody here can give, and with the clocks that were joined, or that an image
// brought along.
func (r *Runtime) further(rec record, t Translation) spec.Container {
	c := t.Container
	grantable(&c.Spec, r)
	if t.TimePath != "" || rec.Restored {
		c.Spec.Namespaces.Time.Mode = spec.TimePrivate
	}
	return spec.Defaulted(c, spec.DefaultsVersion)
}

// target opens the container's first process for a further one to join.
func (rec record) target() (*start.Target, error) {
	pidfd, err := rec.open()
	if err != nil {
		return nil, err
	}
	target, err := start.OpenTarget(rec.Pid, pidfd)
	if err != nil {
		_ = pidfd.Close()
	}
	return target, err
}
