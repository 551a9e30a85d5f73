package main

import (
	"context"
	"errors"
	"net"
	"syscall"
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

// begin opens the door for the first time. An error is one that time does not mend, such as an address without a port.
func (d *door) begin() error {
	if d.open == nil {
		return nil
	}
	err := d.try()
	if mendable(err) {
		return nil
	}
	return err
}

func (d *door) try() (err error) {
	d.serve, err = d.open()
	if err == nil {
		d.told = ""
	} else if mendable(err) {
		d.trouble(err)
	}
	return err
}

// mendable tells whether an error is the machine's, which time may mend, and no mistake in an address.
func mendable(err error) bool {
	_, machine := errors.AsType[syscall.Errno](err)
	names, ok := errors.AsType[*net.DNSError](err)
	return machine || ok && !names.IsNotFound
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
			if d.open != nil {
				_ = d.try() // told
			}
		}
	}
	return nil
}
