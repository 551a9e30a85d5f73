package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// maxStored is how many descriptors systemd keeps of a service at most, of which a container has five at most; systemd's own default is none.
const maxStored = 20480

// StartService runs a program as the transient service NAME.service, and returns when it has said that it is ready. So it has none of what
// the caller has, or lacks, but what systemd gives any service: capabilities, filters of system calls, limits, environment, mount namespace. Argv is for its main, which
// the program at path, absolute, is given. systemd starts it again when it fails, with the descriptors that it has stored, see FDSTORE in
// sd_notify(3); until that is so, and after a start that failed, another StartService does at once. It outlives the caller, and `systemctl isolate`.
func StartService(ctx context.Context, name, description, path string, argv []string) error {
	err := startService(ctx, name, description, path, argv)
	if err != nil {
		return fmt.Errorf("cannot start %s.service: %w\nhint: journalctl -u %s.service says why", name, err, name)
	}
	return nil
}

func startService(ctx context.Context, name, description, path string, argv []string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	unit := name + ".service"
	properties := serviceOf(description, path, argv)
	err = start(ctx, conn, unit, properties)
	if failure, ok := errors.AsType[godbus.Error](err); !ok || failure.Name != unitExists {
		return err
	}
	// It waits to be started again by systemd, runs by now, or has failed for good.
	done := make(chan string, 1)
	_, err = conn.StartUnitContext(ctx, unit, "replace", done)
	if failure, ok := errors.AsType[godbus.Error](err); ok && failure.Name == noSuchUnit { // collected meanwhile
		return start(ctx, conn, unit, properties)
	}
	if err != nil {
		return err
	}
	return await(ctx, unit, "start", done)
}

const noSuchUnit = "org.freedesktop.systemd1.NoSuchUnit"

// execStart is a command as systemd takes it: path, arguments, whether a failure does not matter.
type execStart struct {
	Path   string
	Argv   []string
	Ignore bool
}

// serviceOf are the properties of such a service, all known since systemd 252.
func serviceOf(description, path string, argv []string) []dbus.Property {
	return []dbus.Property{
		property("Description", description),
		property("Type", "notify"),
		property("ExecStart", []execStart{{path, argv, false}}),
		property("NotifyAccess", "main"),
		property("Environment", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}),
		property("Restart", "on-failure"),
		property("RestartUSec", uint64(1_000_000)), // who needs it starts it sooner
		property("StartLimitIntervalUSec", uint64(0)),
		property("FileDescriptorStoreMax", uint32(maxStored)),
		property("OOMPolicy", "continue"),
		property("IgnoreOnIsolate", true),
		property("CollectMode", "inactive-or-failed"),
		beforeShutdown(),
	}
}

// SharesNamespaces tells whether what process 1 starts sees this process's files and processes under the same names.
func SharesNamespaces() bool {
	for _, kind := range []string{"mnt", "pid"} {
		own, err := os.Stat("/proc/self/ns/" + kind)
		if err != nil {
			return false
		}
		first, err := os.Stat("/proc/1/ns/" + kind)
		if err != nil || !os.SameFile(own, first) {
			return false
		}
	}
	return true
}
