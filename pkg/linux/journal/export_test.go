package journal

import "time"

// Parse is for fuzzing.
var Parse = parse

// Entry is what Parse gives.
type Entry = entry

// Tick is what logs that do not grow wait for.
func (f *Forwarder) Tick() <-chan time.Time { return f.tick() }
