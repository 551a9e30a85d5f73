package spec

// Landlock narrows what the processes may do, as landlock(7) has it: what a list names is allowed, everything else of its kind is not.
// A kind of which no list is said is not narrowed. Paths are those of the container, and everything below them.
type Landlock struct {
	// ReadOnly are the paths below which files can be read and directories listed.
	ReadOnly []string `json:"readOnly,omitzero" class:"replace" format:"path"`
	// Execute are the paths below which files can be read and executed; the command and its libraries must be in one.
	Execute []string `json:"execute,omitzero" class:"replace" format:"path"`
	// ReadWrite are the paths below which everything is allowed but execution.
	ReadWrite []string `json:"readWrite,omitzero" class:"replace" format:"path"`
	// TCPBind are the ports that TCP sockets can be bound to; an empty list allows none.
	TCPBind *[]uint32 `json:"tcpBind,omitempty" class:"replace" min:"0" max:"65535"`
	// TCPConnect are the ports that TCP sockets can be connected to; an empty list allows none.
	TCPConnect *[]uint32 `json:"tcpConnect,omitempty" class:"replace" min:"0" max:"65535"`
	// Scope names what cannot reach out of the container's processes, whatever namespaces are shared: ABSTRACT_UNIX_SOCKET (connections to abstract sockets) or SIGNAL.
	Scope []string `json:"scope,omitzero" class:"replace" format:"landlockScope"`
	// BestEffort starts the container also where the kernel cannot narrow all of this; without it, such a start is refused.
	BestEffort bool `json:"bestEffort,omitzero" class:"replace"`
}

// LandlockScopes are the words of Landlock.Scope: LANDLOCK_SCOPE_* of linux/landlock.h, by the order of their bits.
var LandlockScopes = []string{"ABSTRACT_UNIX_SOCKET", "SIGNAL"}

// Files tells that access to files is narrowed.
func (l Landlock) Files() bool { return len(l.ReadOnly)+len(l.Execute)+len(l.ReadWrite) > 0 }

// IsZero tells that nothing is said.
func (l Landlock) IsZero() bool {
	return !l.Files() && l.TCPBind == nil && l.TCPConnect == nil && len(l.Scope) == 0 && !l.BestEffort
}

// Check tells why no command could run under the rules.
func (l Landlock) Check() error { return asOne(l.check()) }

func (l Landlock) check() (key string, err error) {
	switch {
	case l.Files() && len(l.Execute) == 0:
		return "", fault{"allows no file to be executed, so the command could not be", "say execute: [/], or the directories of programs and libraries"}
	case l.BestEffort && !l.Files() && l.TCPBind == nil && l.TCPConnect == nil && len(l.Scope) == 0:
		return "bestEffort", faultf("narrows nothing")
	}
	return "", nil
}
