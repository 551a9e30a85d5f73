package seccomp

import (
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Plan is a filter and how it is put in force. The zero value filters nothing.
type Plan struct {
	Filter Filter
	// Flags are SECCOMP_FILTER_FLAG_*.
	Flags uint
	// Listener is who is asked about calls with the verdict Notify; zero when the filter has none.
	Listener Listener
}

// Notifies tells whether the filter gets a listener, which must be sent to the one who decides: until then, the calls wait.
func (p Plan) Notifies() bool { return p.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 }

// Refusing is the plan for a process that nobody decides for: what would be asked about is refused.
func (p Plan) Refusing() Plan {
	if !p.Notifies() {
		return p
	}
	filter := slices.Clone(p.Filter) // may be shared
	for i, in := range filter {
		if in.Code == ret && in.K&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_USER_NOTIF {
			filter[i].K = uint32(Errno(unix.EPERM))
		}
	}
	const listens = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	return Plan{Filter: filter, Flags: p.Flags &^ listens}
}

// Listener is a program that decides about calls, as profiles name it.
type Listener struct {
	Path     string // of its unix socket
	Metadata string // a text for it
}

// flags are the flags a profile can have. A process that starts has one thread: there is nothing for TSYNC to do, and
// with a listener the kernel refuses it.
var flags = map[spec.SeccompFlag]uint{
	spec.SeccompTSync: 0, spec.SeccompLogFlag: unix.SECCOMP_FILTER_FLAG_LOG, spec.SeccompSpecAllow: unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
	spec.SeccompWaitKillableRecv: unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
}

// NewPlan is the plan of a profile for this machine. Errors are those of FromProfile and Compile.
//
// Without flags it has SPEC_ALLOW, which keeps a filter from slowing the process down by a mitigation of speculative store
// bypass that kernels before 5.16 tie to seccomp; the process may still ask for it by prctl(2).
func NewPlan(p spec.SeccompProfile) (Plan, error) {
	policy, archs, err := FromProfile(p, Native())
	if err != nil {
		return Plan{}, fmt.Errorf("cannot use the seccomp profile: %w", err)
	}
	plan := Plan{}
	if plan.Filter, err = Compile(policy, archs...); err != nil {
		return Plan{}, err
	}
	for _, flag := range p.Flags {
		bits, ok := flags[flag]
		if !ok {
			return Plan{}, fmt.Errorf("cannot use the seccomp profile: unknown flag %q: %w", flag, fs.ErrInvalid)
		}
		plan.Flags |= bits
	}
	if len(p.Flags) == 0 {
		plan.Flags = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	if slices.ContainsFunc(p.Syscalls, func(r spec.SeccompRule) bool { return r.Action == spec.SeccompNotify }) {
		if slices.ContainsFunc(p.Syscalls, stops) {
			return Plan{}, fmt.Errorf("cannot use the seccomp profile: %s of %s: a start needs the call before anybody listens: %w", spec.SeccompNotify, spec.NeverNotified, fs.ErrInvalid)
		}
		return plan.notifying(Listener{Path: p.ListenerPath, Metadata: p.ListenerMetadata})
	}
	plan.Flags &^= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV // EINVAL without a listener
	return plan, nil
}

// stops tells whether a rule would have every start wait for ever.
func stops(r spec.SeccompRule) bool {
	return r.Action == spec.SeccompNotify && len(r.Args) == 0 && slices.Contains(r.Names, spec.NeverNotified)
}

// notifying is the plan with a listener, if there is somebody to send it to and the kernel can make it.
func (p Plan) notifying(to Listener) (Plan, error) {
	if to.Path == "" {
		return Plan{}, fmt.Errorf("cannot use the seccomp profile: %s without listenerPath: %w", spec.SeccompNotify, fs.ErrInvalid)
	}
	wants := []*feature.Feature{feature.SeccompNotify}
	if p.Flags&unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV != 0 {
		wants = append(wants, feature.SeccompWaitKillable)
	}
	for _, f := range wants {
		if err := f.Probe(); err != nil {
			return Plan{}, fmt.Errorf("cannot use the seccomp profile: %w", err)
		}
	}
	p.Flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	p.Listener = to
	return p, nil
}
