package main

import (
	"context"
	"time"
)

// doorPause is how long an agent waits before it tries an address again.
const doorPause = 3 * time.Second

// door is an address at which an agent answers beside its socket. Nobody can keep an agent from its containers by taking the address first: it goes
// on without, says so, and tries again.
type door struct {
	open  func() (serve, error) // listens; nil for an address that nobody has asked for
	tell  func(error)           // hears of trouble, once
	serve serve                 // nil while there is trouble
	told  string
}

// serve answers at an address until ctx ends.
type serve func(ctx context.Context) error

// try opens the door, if anybody has asked for it.
func (d *door) try() {
	if d.open == nil {
		return
	}
	var err error
	if d.serve, err = d.open(); err != nil {
		d.trouble(err)
	} else {
		d.told = ""
	}
}

func (d *door) trouble(err error) {
	if err.Error() != d.told {
		d.told = err.Error()
		d.tell(err)
	}
}

// keep answers until ctx ends, whatever happens.
func (d *door) keep(ctx context.Context) error {
	for ctx.Err() == nil {
		if d.serve != nil {
			if err := d.serve(ctx); err != nil {
				d.trouble(err)
			}
			d.serve = nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(doorPause):
			d.try()
		}
	}
	return nil
}
