package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
)

// notify tells the service manager, if there is one, see sd_notify(3).
func notify(log logr.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Error(err, "cannot notify the service manager", "state", state)
	}
}

// supervise says READY when the agent has looked at everything once, and feeds the watchdog for as long as its loop completes what it begins. Until it is ready it asks
// for more time by the same rule: what is restored from images takes as long as there is memory to read. It closes said when it has said READY.
func supervise(ctx context.Context, agent *reconcile.Agent, said chan<- struct{}, log logr.Logger) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		interval = defaultWatchdog
	}
	beat := fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", interval.Microseconds())
	ready := agent.Synced()
	var stuck bool
	ticker := time.NewTicker(interval / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ready:
			notify(log, daemon.SdNotifyReady)
			log.Info("everything was looked at once")
			ready, beat = nil, daemon.SdNotifyWatchdog
			close(said)
		case <-ctx.Done():
			return
		case <-ticker.C:
			stuck = feed(ctx, agent, interval/3, beat, stuck, log)
		}
	}
}

// defaultWatchdog is how often it is looked at the loop where the service manager says nothing: what is wrong is logged.
const defaultWatchdog = time.Minute

// feed tells the service manager that the loop gets on, if it does, and logs when that changes.
func feed(ctx context.Context, agent *reconcile.Agent, within time.Duration, beat string, was bool, log logr.Logger) (stuck bool) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := agent.Stuck(ctx)
	switch {
	case err == nil:
		notify(log, beat)
	case !was:
		log.Error(err, "the watchdog is not fed")
	}
	return err != nil
}

// hangups are the SIGHUPs from now on, of which one is kept: it ends a process that has not said that it wants it, such as an agent that begins.
func hangups() (asked <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// reloads does what is asked for by SIGHUP, and tells the service manager when it begins and ends. Before it is told of a reload it has to be told that the agent
// is ready.
func reloads(ctx context.Context, asked <-chan os.Signal, ready <-chan struct{}, reload func(context.Context) error, log logr.Logger) {
	select {
	case <-ctx.Done():
		return
	case <-ready:
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
		}
		notify(log, daemon.SdNotifyReloading+"\n"+monotonic())
		_ = reload(ctx) // logged
		notify(log, daemon.SdNotifyReady)
	}
}

// monotonic is the time that goes with RELOADING, see sd_notify(3).
func monotonic() string {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return ""
	}
	return fmt.Sprintf("MONOTONIC_USEC=%d", t.Nano()/1000)
}

// activated is the socket that systemd made for us, nil if it made none, see sd_listen_fds(3).
func activated() (net.Listener, error) {
	listeners, err := activation.Listeners()
	if err != nil || len(listeners) == 0 {
		return nil, err
	}
	listener, ok := listeners[0].(*net.UnixListener)
	if !ok || len(listeners) > 1 {
		return nil, fmt.Errorf("cannot take %d sockets from systemd: want one unix stream socket", len(listeners))
	}
	return listener, nil
}
