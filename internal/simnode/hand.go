package simnode

import (
	"cmp"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What somebody does to a machine behind the agent's back.

// breakNewest leaves an instance half-made.
func (m *Machine) breakNewest(name string) {
	if list := m.instances[name]; len(list) > 0 {
		in := list[len(list)-1]
		in.halt()
		in.Pid = 0
		in.Phase, in.Problem, in.Spec, in.Hash = spec.InstanceBroken, "half-made", spec.Container{}, ""
		m.changed(name)
	}
}

// Crash ends the process of a name with a code, as if by itself. It tells whether there was one.
func (m *Machine) Crash(name string, code int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.instances[name] {
		if live(in) {
			m.exit(in, code, "", cmp.Or(reasonOf(code), spec.ExitCompleted))
			return true
		}
	}
	return false
}

// Starve has the kernel kill a number of processes of a name for want of memory; process 1 is not among them.
func (m *Machine) Starve(name string, kills uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.instances[name] {
		in.OOMKills += kills
	}
	m.tell(name, spec.EventOOM)
}

// StarveFirst has the kernel kill process 1 of a name for want of memory. seen tells whether somebody can look before it has ended.
func (m *Machine) StarveFirst(name string, seen bool) {
	if seen {
		m.Starve(name, 1)
		time.Sleep(time.Second)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.instances[name] {
		if live(in) {
			if !seen {
				in.OOMKills++
			}
			m.exit(in, 128+9, "SIGKILL", spec.ExitOOMKilled)
			in.Exit.OOMKilled = true
		}
	}
}

// Notify has the container that runs say whether it is ready. It tells whether somebody could hear it: there is one, and it has a socket.
func (m *Machine) Notify(name string, ready bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.instances[name] {
		if live(in) && in.Notified.Socket {
			in.Notified.Ready, in.Notified.Started = ready, ready || in.Notified.Started
			m.tell(name, spec.EventNotify)
			return true
		}
	}
	return false
}

// Press hints at pressure.
func (m *Machine) Press(name string, kind spec.EventKind, count uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		s.hint(spec.Event{Name: name, Kind: kind, Count: count})
	}
}

// Drift changes the limits of a name by hand. No event tells of it.
func (m *Machine) Drift(name string, r spec.Resources) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.instances[name] {
		in.Resources = r
	}
}

// LoseRecord makes a name's instances forget their spec but for its hash.
func (m *Machine) LoseRecord(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.instances[name] {
		in.Spec, in.Wanted, in.Resources = spec.Container{}, spec.Resources{}, spec.Resources{}
	}
}

// Freeze freezes or thaws the instances of a name by hand.
func (m *Machine) Freeze(name string, frozen bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.instances[name] {
		switch {
		case live(in) && frozen:
			in.freeze()
		case live(in):
			in.Phase = spec.InstanceRunning
		}
	}
	m.changed(name)
	m.tell(name, spec.EventFreeze)
}

// Wipe destroys everything of a name by hand. No event tells of it.
func (m *Machine) Wipe(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range m.instances[name] {
		in.halt()
	}
	delete(m.instances, name)
	m.changed(name)
}

// Reboot ends everything and forgets every instance, as a boot does.
func (m *Machine) Reboot() {
	for _, name := range m.names() {
		m.Wipe(name)
	}
}

// Foreign puts an instance on the machine that no agent made.
func (m *Machine) Foreign(name string, in spec.Instance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in.Name = name
	m.instances[name] = append(m.instances[name], &instance{Instance: in, command: parse(in.Spec.Spec.Command), program: parse(in.Spec.Spec.Command)})
}
