package spec

import "errors"

// Exec is a further process in a running container. What it does not say is as the container's own process has it.
type Exec struct {
	// Command is the program and its arguments; a first word without a slash is looked up in PATH inside the container.
	Command []string `json:"command"`
	// Env is set over the container's environment.
	Env map[string]string `json:"env,omitzero"`
	// User is a name or uid, with an optional :group, looked up in the container's /etc/passwd and /etc/group.
	User string `json:"user,omitzero"`
	// WorkingDir is the absolute directory to start in.
	WorkingDir string `json:"workingDir,omitzero"`
	// Capabilities are changed from the container's: drop first, then add.
	Capabilities Capabilities `json:"capabilities,omitzero"`
	// TTY gives the process a terminal; its output is one stream then.
	TTY bool `json:"tty,omitzero"`
	// Stdin keeps the standard input open; without it, it is /dev/null.
	Stdin bool `json:"stdin,omitzero"`
	// Size is the terminal's at the beginning.
	Size TerminalSize `json:"size,omitzero"`
	// Detach lets the process run on by itself, without input, its output dropped.
	Detach bool `json:"detach,omitzero"`
}

// TerminalSize is how large a terminal is, in characters; zero for unknown.
type TerminalSize struct {
	Rows    uint16 `json:"rows,omitzero"`
	Columns uint16 `json:"columns,omitzero"`
}

// Errors of a command that could not be executed, as the shell tells them apart by 127 and 126. Everything else that can go wrong with
// an Exec is neither.
var (
	ErrCommandNotFound      = errors.New("command not found")
	ErrCommandNotExecutable = errors.New("command not executable")
)
