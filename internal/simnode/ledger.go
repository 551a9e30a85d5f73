package simnode

import (
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// ledger holds an agent to what it wrote down: what makes or unmakes an instance is on disk before it is done, no instance has the id of another,
// and a name whose record nobody can read is left alone.
type ledger struct {
	records map[string]record.Record // on disk
	held    map[string]bool
	acted   map[string]uint64 // the newest instance that something was done to after it was made
	kept    map[string]uint64 // acted, when something was last written: the record knows of it
}

func newLedger() ledger {
	return ledger{map[string]record.Record{}, map[string]bool{}, map[string]uint64{}, map[string]uint64{}}
}

func (l ledger) write(name string, r *record.Record) {
	if r == nil {
		delete(l.records, name)
		delete(l.acted, name)
		delete(l.kept, name)
		return
	}
	l.records[name] = *r
	l.kept[name] = max(l.kept[name], l.acted[name])
}

// byHand tells whether something said by hand is written down and not over.
func (l ledger) byHand(name string) bool {
	r := l.records[name]
	return r.Override.State != "" || !r.Restart.IsZero() || r.Restore.Image != ""
}

// ahead are the verbs that are written down first, by the words of an intent.
var ahead = map[string]string{"Create": "Create", "Destroy": "Destroy", "Restore": "Restore", "Suspend": "Checkpoint"}

// judge says why a verb may not be done; "" when it may. What somebody asks for by hand of what has neither manifest nor record is written nowhere.
func (l ledger) judge(verb, name string, id uint64, handled bool) string {
	r, known := l.records[name]
	intent, written := ahead[verb]
	written = written && (known || !handled)
	switch {
	case l.held[name]:
		return "its record is a newer agent's"
	case written && (r.Intent.Verb != intent || r.Intent.Instance != id):
		return fmt.Sprintf("it is not written down, but %s of %d is", r.Intent.Verb, r.Intent.Instance)
	case verb == "Create" && id <= l.kept[name]:
		return fmt.Sprintf("there was an instance %d", l.kept[name])
	case verb != "Create" && verb != "RemoveImages":
		l.acted[name] = max(l.acted[name], id)
	}
	return ""
}

// overrides are the states set by hand that are on disk.
func (l ledger) overrides() map[string]spec.State {
	set := map[string]spec.State{}
	for name, r := range l.records {
		if r.Override.State != "" {
			set[name] = r.Override.State
		}
	}
	return set
}
