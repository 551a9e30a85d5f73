package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Scope names the transient unit of one container of an engine.
type Scope struct {
	Slice string // system.slice, or machine-engine.slice, which is below machine.slice; "" for the root slice
	Unit  string // engine-1.scope
}

// DefaultSlice is where a scope goes whose engine names no slice.
const DefaultSlice = "system.slice"

// ParseScope reads an OCI cgroupsPath for systemd, SLICE:PREFIX:NAME: the scope PREFIX-NAME.scope in the slice. An empty text is a scope
// of the container's id with the given prefix. A name that is a slice itself stays as it is.
func ParseScope(cgroupsPath, prefix, id string) (Scope, error) {
	slice, name := DefaultSlice, id
	if cgroupsPath != "" {
		parts := strings.Split(cgroupsPath, ":")
		if len(parts) != 3 {
			return Scope{}, fmt.Errorf("bad cgroupsPath %q, want slice:prefix:name: %w", cgroupsPath, fs.ErrInvalid)
		}
		slice, prefix, name = parts[0], parts[1], parts[2]
	}
	if slice == "" {
		slice = DefaultSlice
	}
	s := Scope{Slice: slice, Unit: name}
	if !strings.HasSuffix(name, ".slice") {
		s.Unit = name + ".scope"
		if prefix != "" {
			s.Unit = prefix + "-" + s.Unit
		}
	}
	_, err := s.Path()
	return s, err
}

// Path is the scope's cgroup below the mount point: a dash in a slice's name is a level (systemd.slice(5)).
func (s Scope) Path() (string, error) {
	if strings.ContainsAny(s.Unit, "/\x00\n") || len(s.Unit) > 255 || strings.HasPrefix(s.Unit, ".") {
		return "", fmt.Errorf("%q is no name for a unit: %w", s.Unit, fs.ErrInvalid)
	}
	dir, err := expandSlice(s.Slice)
	return path.Join(dir, s.Unit), err
}

// expandSlice gives a-b-c.slice its place: a.slice/a-b.slice/a-b-c.slice. -.slice is the root.
func expandSlice(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, ".slice")
	if slice == "" || slice == "-.slice" {
		return "", nil
	}
	if !ok || strings.ContainsAny(name, "/\x00\n") {
		return "", fmt.Errorf("%q is no name for a slice: %w", slice, fs.ErrInvalid)
	}
	var dir, prefix string
	for part := range strings.SplitSeq(name, "-") {
		if part == "" {
			return "", fmt.Errorf("%q is no name for a slice: %w", slice, fs.ErrInvalid)
		}
		prefix += part
		dir = path.Join(dir, prefix+".slice")
		prefix += "-"
	}
	return dir, nil
}

// StartScope makes the scope with a process in it and waits until systemd has done so. systemd delegates it, knows of the limits that have
// a property of its own, so that it does not undo them, and gets the properties that annotations name. A scope of the name that failed
// before is cleared away first.
func StartScope(ctx context.Context, s Scope, pid int, limits spec.Resources, annotations map[string]string) error {
	err := startScope(ctx, s, pid, limits, annotations)
	if err != nil {
		return fmt.Errorf("cannot start %s for pid %d: %w", s.Unit, pid, err)
	}
	return nil
}

func startScope(ctx context.Context, s Scope, pid int, limits spec.Resources, annotations map[string]string) error {
	if _, err := s.Path(); err != nil {
		return err
	}
	extra, err := annotated(annotations)
	if err != nil {
		return err
	}
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	properties := append(append(s.properties(pid), limitsOf(limits)...), extra...)
	err = start(ctx, conn, s.Unit, properties)
	if failure, ok := errors.AsType[godbus.Error](err); ok && failure.Name == unitExists {
		if err := conn.ResetFailedUnitContext(ctx, s.Unit); err == nil {
			return start(ctx, conn, s.Unit, properties)
		}
	}
	return err
}

const unitExists = "org.freedesktop.systemd1.UnitExists"

// start starts a transient unit and waits for the end of its job.
func start(ctx context.Context, conn *dbus.Conn, unit string, properties []dbus.Property) error {
	done := make(chan string, 1)
	if _, err := conn.StartTransientUnitContext(ctx, unit, "replace", properties, done); err != nil {
		return err
	}
	return await(ctx, unit, "start", done)
}

func await(ctx context.Context, unit, verb string, done <-chan string) error {
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("the %s of %s ended as %s", verb, unit, result)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// StopScope ends the scope, and everything that is still in it, and waits until systemd has done so. One that is not there is success.
func StopScope(ctx context.Context, s Scope) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot stop %s: %w", s.Unit, err)
		}
	}()
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	done := make(chan string, 1)
	_, err = conn.StopUnitContext(ctx, s.Unit, "replace", done)
	if failure, ok := errors.AsType[godbus.Error](err); ok && failure.Name == noSuchUnit {
		return nil
	}
	if err == nil {
		err = await(ctx, s.Unit, "stop", done)
	}
	_ = conn.ResetFailedUnitContext(ctx, s.Unit) // so that the name is free; most are gone already
	return err
}

// SetScope tells systemd of new limits.
func SetScope(ctx context.Context, s Scope, limits spec.Resources) error {
	properties := limitsOf(limits)
	if len(properties) == 0 {
		return nil
	}
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetUnitPropertiesContext(ctx, s.Unit, true, properties...); err != nil {
		return fmt.Errorf("cannot set the limits of %s: %w", s.Unit, err)
	}
	return nil
}
