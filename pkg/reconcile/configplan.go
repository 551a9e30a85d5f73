package reconcile

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// frozenPause is how long a look at what stands still for an image is put off.
const frozenPause = 2 * time.Second

// configured is a step of an instance with what its configs make of it: before a run begins all are written, and one that runs gets what is new.
func (w *world) configured(in spec.Instance, s step) step {
	switch {
	case len(w.wanted.Spec.Configs) == 0:
		return s
	case s.action != nil && (s.action.Verb == VerbStart || s.action.Verb == VerbRestore):
		if first := w.given(in); first != nil {
			return *first
		}
		return w.explained(in, s)
	case s.action != nil || s.waiting || in.Phase != spec.InstanceRunning || w.state() != spec.StateRunning:
		return s
	}
	news := w.news(in)
	switch {
	case news == nil:
		return s
	case w.Frozen:
		s.due = earlier(s.due, w.now.Add(frozenPause))
		return s
	}
	news.due, news.wake = s.due, earlier(news.wake, s.wake)
	return *news
}

// explained is a start with what the process before was stopped for.
func (w *world) explained(in spec.Instance, s step) step {
	if causes := w.unseen(in); len(causes) > 0 && strings.HasPrefix(s.action.Cause, stoppedBefore) {
		a := *s.action
		a.Cause = strings.Join(causes, "; ")
		s.action = &a
	}
	return s
}

// stoppedBefore begins the cause of a start after a stop that somebody asked for.
const stoppedBefore = "stopped before; "

// unseen are the causes of a restart: configs that the process has not seen. One of which nobody knows, as after a restore, has been seen. The run of a job
// is not begun again for one: the next run sees it.
func (w *world) unseen(in spec.Instance) (causes []string) {
	if !w.wanted.Spec.Job.IsZero() {
		return nil
	}
	for _, use := range w.wanted.Spec.Configs {
		if state := in.Configs[use.Name]; state.Seen != "" && state.Seen != state.Written && use.Defaulted().OnChange == spec.OnChangeRestart {
			causes = append(causes, configCause(use.Name, nil, nil))
		}
	}
	return causes
}

// given is what has to be done before a run of an instance begins, nil for nothing: it waits for a config that is nowhere, and gets those that are new.
func (w *world) given(in spec.Instance) *step {
	var fresh []spec.Projection
	var causes []string
	for _, use := range w.wanted.Spec.Configs {
		state, isWritten := in.Configs[use.Name]
		known := w.Configs[use.Name]
		switch {
		case known.Contents == nil && !isWritten:
			return &step{blocked: missingText(use.Name, known), missing: true}
		case known.Contents == nil:
			continue
		}
		if p := known.project(use); p.Hash != state.Written {
			fresh, causes = append(fresh, p), append(causes, writeCause(state, p))
		}
	}
	return w.write(in, fresh, causes)
}

func missingText(name string, known KnownConfig) string {
	if known.Problem != "" {
		return fmt.Sprintf("waits for config %s, whose manifest has problems: %s", name, known.Problem)
	}
	return fmt.Sprintf("waits for config %s, for which there is no manifest", name)
}

// lacks tells whether a config is nowhere that the container cannot be started without.
func (w *world) lacks() bool {
	in, _ := w.current()
	s := w.given(in)
	return s != nil && s.missing
}

// prepared is what has to be done for an instance before the one that runs makes room for it, nil for nothing.
func (w *world) prepared(current spec.Instance) *step {
	if w.Order.Waits != "" {
		return &step{blocked: w.Order.Waits}
	}
	return w.given(current)
}

// write is the step that gives an instance configs, nil if there are none.
func (w *world) write(in spec.Instance, fresh []spec.Projection, causes []string) *step {
	if len(fresh) == 0 {
		return nil
	}
	s := w.try(Action{Verb: VerbConfigure, Instance: in.ID, Cause: strings.Join(causes, "; "), Configs: fresh})
	return &s
}

// writeCause says why a config is written.
func writeCause(state spec.ConfigState, p spec.Projection) string {
	if state.Written == "" {
		return fmt.Sprintf("config %s is used by it", p.Name)
	}
	return configCause(p.Name, state.Keys, p.Keys)
}

// news is what a process that runs has still to get, nil for nothing. What it was given is compared with what is in force; what it has seen, with what
// it was given.
func (w *world) news(in spec.Instance) *step {
	var fresh []spec.Projection
	var causes []string
	for _, use := range w.wanted.Spec.Configs {
		known := w.Configs[use.Name]
		if known.Contents == nil {
			continue
		}
		p, state := known.project(use), in.Configs[use.Name]
		p.Seen = use.Defaulted().OnChange == spec.OnChangeIgnore
		if p.Hash != state.Written || p.Seen && p.Hash != state.Seen {
			fresh, causes = append(fresh, p), append(causes, writeCause(state, p))
		}
	}
	if s := w.write(in, fresh, causes); s != nil {
		return s
	}
	if causes := w.unseen(in); len(causes) > 0 {
		s := w.try(w.stopAction(in.ID, w.wanted, strings.Join(causes, "; ")))
		return &s
	}
	return w.signal(in)
}

// signal has a process read again what it was given, nil if it has. One signal is enough for all configs that ask for the same. What was given counts,
// also of a config that is in force no more.
func (w *world) signal(in spec.Instance) *step {
	a := Action{Verb: VerbSignal, Instance: in.ID}
	var causes []string
	for _, use := range w.wanted.Spec.Configs {
		use = use.Defaulted()
		state := in.Configs[use.Name]
		if use.OnChange != spec.OnChangeSignal || state.Seen == state.Written || a.Signal != "" && a.Signal != use.Signal {
			continue
		}
		a.Signal, a.Configs = use.Signal, append(a.Configs, spec.Projection{Name: use.Name, Hash: state.Written, Seen: true, Noted: true})
		causes = append(causes, configCause(use.Name, nil, nil))
	}
	if a.Signal == "" {
		return nil
	}
	a.Cause = strings.Join(causes, "; ")
	s := w.try(a)
	return &s
}

// stale says of an image whose process knows another config than is in force that what began from it would be restarted at once; "" of any other.
func (w *world) stale(i spec.Image) string {
	for _, use := range w.wanted.Spec.Configs {
		known, seen := w.Configs[use.Name], i.Configs[use.Name]
		if seen != "" && known.Contents != nil && use.Defaulted().OnChange == spec.OnChangeRestart && known.project(use).Hash != seen {
			return fmt.Sprintf("image %s is of a process that knows another config %s", i.Ref(), use.Name)
		}
	}
	return ""
}
