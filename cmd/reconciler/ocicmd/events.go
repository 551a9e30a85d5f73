package ocicmd

import (
	"encoding/json"
	"fmt"
	"time"
)

func (c *command) events(f *flags, args []string) (int, error) {
	interval := f.text("interval", "TIME", "5s", "time between two lines")
	once := f.yes("stats", "one line, and return")
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	every, err := time.ParseDuration(*interval)
	if err != nil || every <= 0 {
		return 1, fmt.Errorf("interval %q is no time greater than zero", *interval)
	}
	out := json.NewEncoder(c.out)
	if *once {
		stats, err := c.Stats(args[0])
		if err != nil {
			return 1, err
		}
		return 0, out.Encode(stats)
	}
	return 0, c.Events(c.ctx, args[0], every, func(e any) error { return out.Encode(e) })
}
