package kerneltest

import (
	"os"
	"strconv"
	"time"
)

// Patient lengthens how long a test waits for what must come by RECONCILER_SLOW, which emulated machines set.
func Patient(d time.Duration) time.Duration {
	if slow, err := strconv.Atoi(os.Getenv("RECONCILER_SLOW")); err == nil && slow > 0 {
		return d * time.Duration(slow)
	}
	return d
}
