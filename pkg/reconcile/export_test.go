package reconcile

import "context"

// NoteRestored is noteRestored.
var NoteRestored = noteRestored

// Pass is one pass of a name.
func (a *Agent) Pass(name string) { a.pass(context.Background(), name) }

// GiveConfigs is what a source says of configs; the containers that use what changed are told.
func (a *Agent) GiveConfigs(s Snapshot) (users []string) {
	a.intake.Lock()
	defer a.intake.Unlock()
	a.sources = []Snapshot{s}
	return a.admitConfigs()
}
