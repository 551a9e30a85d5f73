package process

import (
	"os"
	"time"
	"unsafe"
)

// StartWithin is Start with another timeout.
func StartWithin(p *Program, files map[string]*os.File, timeout time.Duration) (*Process, error) {
	process, _, err := start(p, files, manner{timeout: timeout})
	return process, err
}

// StartWith is Start with something that another thread does during it.
func StartWith(p *Program, files map[string]*os.File, during func(pid int) error) (*Process, error) {
	process, _, err := start(p, files, manner{timeout: Timeout, during: during})
	return process, err
}

// NotRun is the result of an op that has none.
const NotRun = notRun

// Results runs a program that fails, and gives what the kernel said to each op.
func Results(p *Program, files map[string]*os.File) ([]int64, error) {
	_, a, err := start(p, files, manner{timeout: Timeout})
	return a.results(), err
}

// Results are what the kernel has said to each op so far.
func (k *Parked) Results() []int64 { return k.results() }

// Layout is where the parker finds the parts of the frame and of a record.
func Layout() map[string]int {
	var f frame
	var r record
	special := [...]uintptr{moves, rebirth}
	at := func(offset uintptr) int { return int(offset) }
	return map[string]int{
		"frame_current":   at(unsafe.Offsetof(f.current)),
		"frame_failed":    at(unsafe.Offsetof(f.failed)),
		"frame_end":       at(unsafe.Offsetof(f.end)),
		"record_nr":       at(unsafe.Offsetof(r.nr)),
		"record_args":     at(unsafe.Offsetof(r.args)),
		"record_out":      at(unsafe.Offsetof(r.out)),
		"record_accept":   at(unsafe.Offsetof(r.accept)),
		"record_then":     at(unsafe.Offsetof(r.then)),
		"record_accepted": at(unsafe.Offsetof(r.accepted)),
		"record_result":   at(unsafe.Offsetof(r.result)),
		"record_moves":    int(special[0]),
		"record_reborn":   int(special[1]),
	}
}

// Assemble puts a program that passes Check into memory, of this process only, as Start or StartParked would, and tells how many
// words there were too many.
func Assemble(p *Program) (left int) {
	var more []added
	if p.parkPoint() >= 0 {
		k, err := newParking(p, os.Stdin, os.Stdout, os.Stderr)
		if err != nil {
			panic(err)
		}
		p, more = &k.program, k.more
	}
	l := measure(p, more)
	a := assemble(p, make([]int, len(p.Files)), more, l, make([]uint64, l.total()))
	if l.total()*wordSize > roomSize {
		panic("larger than a room")
	}
	return len(a.words) + len(a.data)
}
