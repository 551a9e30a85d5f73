package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
)

// notify tells the service manager, if there is one, see sd_notify(3).
func notify(log logr.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Error(err, "cannot notify the service manager", "state", state)
	}
}

// supervise says READY when the agent has looked at everything once, then feeds the watchdog for as long as the agent answers.
func supervise(ctx context.Context, agent *reconcile.Agent, log logr.Logger) {
	select {
	case <-agent.Synced():
		notify(log, daemon.SdNotifyReady)
		log.Info("everything was looked at once")
	case <-ctx.Done():
		return
	}
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	ticker := time.NewTicker(interval / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			agent.Objects() // waits for the agent's locks: a stuck agent is not fed
			notify(log, daemon.SdNotifyWatchdog)
		}
	}
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
