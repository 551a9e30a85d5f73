package systemd

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func property(name string, value any) dbus.Property {
	return dbus.Property{Name: name, Value: godbus.MakeVariant(value)}
}

// properties are those of any container's scope, or slice: see org.freedesktop.systemd1(5).
func (s Scope) properties(pid int) []dbus.Property {
	all := []dbus.Property{
		property("Description", "container "+s.Unit),
		property("DefaultDependencies", false),
		property("MemoryAccounting", true),
		property("CPUAccounting", true),
		property("TasksAccounting", true),
		property("IOAccounting", true),
	}
	if strings.HasSuffix(s.Unit, ".slice") {
		return append(all, property("Wants", []string{cmp.Or(s.Slice, "-.slice")}))
	}
	return append(all,
		property("Slice", cmp.Or(s.Slice, "-.slice")),
		property("Delegate", true),
		property("PIDs", []uint32{uint32(pid)}),
	)
}

// limitsOf are the limits that systemd has a property for. Others are written to the cgroup alone, which is delegated. A scope without a
// limit of tasks gets none: systemd's default is for units that people write.
func limitsOf(r spec.Resources) []dbus.Property {
	all := []dbus.Property{property("TasksMax", number(r.Pids.Max))}
	for _, l := range []struct {
		name string
		spec.Limit
	}{
		{"MemoryMax", r.Memory.Max},
		{"MemoryHigh", r.Memory.High},
		{"MemoryLow", r.Memory.Low},
		{"MemoryMin", r.Memory.Min},
		{"MemorySwapMax", r.Memory.Swap},
	} {
		if !l.IsZero() {
			all = append(all, property(l.name, number(l.Limit)))
		}
	}
	if weight := cmp.Or(r.CPU.Weight, cgroup.WeightOfShares(r.CPU.Shares)); weight != 0 {
		all = append(all, property("CPUWeight", weight))
	}
	if r.IO.Weight != 0 {
		all = append(all, property("IOWeight", r.IO.Weight))
	}
	if r.CPU.Period != 0 {
		all = append(all, property("CPUQuotaPeriodUSec", uint64(time.Duration(r.CPU.Period).Microseconds())))
	}
	switch {
	case r.CPU.Max.IsMax():
		all = append(all, property("CPUQuotaPerSecUSec", uint64(math.MaxUint64)))
	case !r.CPU.Max.IsZero(): // systemd keeps whole hundredths of a percent, and rounds down what it writes
		all = append(all, property("CPUQuotaPerSecUSec", (r.CPU.Max.Micro()+9_999)/10_000*10_000))
	}
	return all
}

// number is a limit as systemd has it: infinity is the greatest number.
func number(l spec.Limit) uint64 {
	if l.IsZero() || l.IsMax() {
		return math.MaxUint64
	}
	return l.Value()
}

// annotationPrefix begins the annotations that are properties of the scope; the value is a GVariant's text.
const annotationPrefix = "org.systemd.property."

// annotated reads the properties in annotations. As D-Bus has only the names that end in USec, one in seconds is given in microseconds.
func annotated(annotations map[string]string) (all []dbus.Property, err error) {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, annotationPrefix)
		if !ok {
			continue
		}
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			return nil, fmt.Errorf("annotation %q names no property: %w", key, fs.ErrInvalid)
		}
		value, err := godbus.ParseVariant(annotations[key], godbus.Signature{})
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %q is no GVariant: %v: %w", key, annotations[key], err, fs.ErrInvalid)
		}
		if stem, ok := strings.CutSuffix(name, "Sec"); ok && !strings.HasSuffix(stem, "U") {
			microseconds, ok := inMicroseconds(value.Value())
			if !ok {
				return nil, fmt.Errorf("annotation %s: %q is no number of seconds: %w", key, annotations[key], fs.ErrInvalid)
			}
			name, value = stem+"USec", godbus.MakeVariant(microseconds)
		}
		all = append(all, dbus.Property{Name: name, Value: value})
	}
	return all, nil
}

// inMicroseconds converts a number of seconds of any type that a GVariant has.
func inMicroseconds(v any) (uint64, bool) {
	seconds := reflect.ValueOf(v)
	switch {
	case seconds.CanInt() && seconds.Int() >= 0:
		return uint64(seconds.Int()) * 1_000_000, true
	case seconds.CanUint():
		return seconds.Uint() * 1_000_000, true
	case seconds.CanFloat() && seconds.Float() >= 0:
		return uint64(seconds.Float() * 1_000_000), true
	}
	return 0, false
}
