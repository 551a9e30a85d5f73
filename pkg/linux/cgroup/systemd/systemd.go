// Package systemd asks the service manager for cgroups: one of the agent's own, once, and scopes for the containers of engines that want them. It
// knows a few D-Bus calls and their answers; it refuses to know what happens below those cgroups afterwards.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
)

// The cgroups below the scope: processes only live in leaves (cgroup-v2.rst, No Internal Process Constraint).
const (
	keeperLeaf = "keeper"
	containers = "containers"
)

// shutdownUnit is stopped before what is ordered before it, and ends containers well when the node goes down, see packaging/systemd.
const shutdownUnit = "reconciler-shutdown.service"

// beforeShutdown has a unit live until shutdownUnit is stopped. The unit itself cannot say so: scope and keeper are named after the cgroup parent.
func beforeShutdown() dbus.Property { return property("Before", []string{shutdownUnit}) }

var names = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,200}$`) })

// CheckName says why a scope or a service cannot have a name: it wants at most 201 of a to z, 0 to 9 and -, which is not first. The error is fs.ErrInvalid.
func CheckName(name string) error {
	if !names().MatchString(name) {
		return fmt.Errorf("%q is no name for a unit, which has at most 201 of a-z, 0-9 and -: %w", name, fs.ErrInvalid)
	}
	return nil
}

// Delegate puts the keeper with the given pid into the transient scope NAME.scope, which systemd makes and from then
// on leaves alone (Delegate=yes), and returns the cgroup parent for containers, system.slice/NAME.scope/containers.
// A keeper that is there already stays; a new one joins the scope that its predecessor's containers keep alive.
// The scope ends with the last process in it. See org.freedesktop.systemd1(5) and systemd's CGROUP_DELEGATION.md.
func Delegate(ctx context.Context, tree cgroup.Tree, name string, pid int) (parent string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot get a delegated scope from systemd for pid %d: %w", pid, err)
		}
	}()
	if err := CheckName(name); err != nil {
		return "", err
	}
	unit := name + ".scope"
	own, err := cgroupOf(pid)
	if err != nil {
		return "", err
	}
	scope, inside := ancestor(own, unit)
	if !inside {
		if err := enterScope(ctx, tree, unit, pid); err != nil {
			return "", err
		}
		if own, err = cgroupOf(pid); err != nil {
			return "", err
		}
		if scope, inside = ancestor(own, unit); !inside {
			return "", fmt.Errorf("systemd says it is in %s, the kernel says %s", unit, own)
		}
	}
	if own != path.Join(scope, keeperLeaf) {
		if err := enterLeaf(filepath.Join(tree.Unified, scope), pid); err != nil {
			return "", err
		}
	}
	return strings.TrimPrefix(path.Join(scope, containers), "/"), nil
}

// cgroupOf is the cgroup of a process in the unified hierarchy, from /.
func cgroupOf(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	return unifiedPath(string(text))
}

// unifiedPath finds the line "0::/PATH" of /proc/PID/cgroup, see cgroups(7).
func unifiedPath(text string) (string, error) {
	for line := range strings.Lines(text) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(path, "\n"), nil
		}
	}
	return "", errors.New("the process is in no cgroup v2")
}

// ancestor cuts a cgroup off after the component that is a unit.
func ancestor(group, unit string) (string, bool) {
	before, _, ok := strings.Cut(group+"/", "/"+unit+"/")
	return before + "/" + unit, ok
}

// enterScope makes the scope with the process in it, or puts the process into the one there is.
func enterScope(ctx context.Context, tree cgroup.Tree, unit string, pid int) error {
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	done := make(chan string, 1)
	_, err = conn.StartTransientUnitContext(ctx, unit, "fail", scopeOf(pid), done)
	if failure, ok := errors.AsType[godbus.Error](err); ok && failure.Name == unitExists {
		return joinScope(ctx, conn, tree, unit, pid)
	}
	if err != nil {
		return err
	}
	return await(ctx, unit, "start", done)
}

// joinScope puts the process into the leaf of a scope that is there. The scope itself takes none any more: it hands
// controllers down.
func joinScope(ctx context.Context, conn *dbus.Conn, tree cgroup.Tree, unit string, pid int) error {
	property, err := conn.GetUnitTypePropertyContext(ctx, unit, "Scope", "ControlGroup")
	if err != nil {
		return err
	}
	scope, ok := property.Value.Value().(string)
	if !ok || scope == "" {
		return fmt.Errorf("%s has no cgroup: %v", unit, property.Value)
	}
	if err := makeLeaf(filepath.Join(tree.Unified, scope)); err != nil {
		return err
	}
	return conn.AttachProcessesToUnit(ctx, unit, "/"+keeperLeaf, []uint32{uint32(pid)})
}

// scopeOf are the properties of the scope. Stopping it by hand, or at shutdown, ends everything in it; the
// task limit is each container's own and not systemd's default for a unit.
func scopeOf(pid int) []dbus.Property {
	return []dbus.Property{
		property("Description", "reconciler: keeper and containers"),
		property("PIDs", []uint32{uint32(pid)}),
		property("Delegate", true),
		property("TasksMax", uint64(math.MaxUint64)),
		property("CollectMode", "inactive-or-failed"),
		beforeShutdown(),
	}
}

// enterLeaf moves the process down into a leaf, so that controllers can be handed down beside it.
func enterLeaf(scope string, pid int) error {
	if err := makeLeaf(scope); err != nil {
		return err
	}
	procs, err := os.OpenFile(filepath.Join(scope, keeperLeaf, "cgroup.procs"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer procs.Close()
	_, err = procs.WriteString(strconv.Itoa(pid))
	return err
}

func makeLeaf(scope string) error {
	err := os.Mkdir(filepath.Join(scope, keeperLeaf), 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
