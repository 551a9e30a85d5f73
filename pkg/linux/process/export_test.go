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
