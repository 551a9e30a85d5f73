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

// Layout is where the parker finds the parts of the frame and of a record.
func Layout() map[string]uintptr {
	var f frame
	var r record
	return map[string]uintptr{
		"frame_current":   unsafe.Offsetof(f.current),
		"frame_failed":    unsafe.Offsetof(f.failed),
		"frame_end":       unsafe.Offsetof(f.end),
		"record_nr":       unsafe.Offsetof(r.nr),
		"record_args":     unsafe.Offsetof(r.args),
		"record_out":      unsafe.Offsetof(r.out),
		"record_accept":   unsafe.Offsetof(r.accept),
		"record_then":     unsafe.Offsetof(r.then),
		"record_accepted": unsafe.Offsetof(r.accepted),
		"record_result":   unsafe.Offsetof(r.result),
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
	l := measure(p, more, true)
	a := assemble(p, make([]int, len(p.Files)), more, l, make([]uint64, l.total()))
	if l.total()*wordSize > roomSize {
		panic("larger than a room")
	}
	return len(a.words) + len(a.data)
}
