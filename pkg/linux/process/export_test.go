package process

import (
	"os"
	"time"
)

// StartWithin is Start with another timeout.
func StartWithin(p *Program, files map[string]*os.File, timeout time.Duration) (*Process, error) {
	process, _, err := start(p, files, manner{timeout: timeout})
	return process, err
}
