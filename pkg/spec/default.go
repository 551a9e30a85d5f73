package spec

import (
	"slices"
	"time"
)

// DefaultsVersion is the newest version of the default values. It grows when a default of an existing field changes or
// a field gains one; Defaulted keeps every older version, so that what was created under it does not change.
//
// A field that is new gets no entry in Defaulted: not said, the zero value, means its default everywhere, so that the
// identity of what was created before the field existed stays as it is.
const DefaultsVersion = 1

// DefaultMaskedPaths are hidden from a container that does not say maskedPaths.
var DefaultMaskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
	"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
}

// DefaultReadonlyPaths are read-only in a container that does not say readonlyPaths.
var DefaultReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// Defaulted is c with the default values of a version in place of what it does not say; the comments of the fields name
// them. A version that is not known (0, or one of a newer agent) gives the newest that is. Limits have no defaults: one that is not said is
// the kernel's own. The result shares maps and lists with c, and nothing with the defaults.
func Defaulted(c Container, version int) Container {
	s := &c.Spec
	orElse(&c.APIVersion, APIVersion)
	orElse(&c.Kind, KindContainer)
	orElse(&s.State, StateRunning)
	if !s.Rootfs.ReadOnly {
		s.Rootfs.Writable = defaultWritable(s.Rootfs.Writable)
	}
	if s.Namespaces.User.Mode == UserAuto {
		orElse(&s.Namespaces.User.Size, 1<<16)
	}
	if s.Base != BaseNone && s.OOMScoreAdj == NewOOMScore(0) {
		s.OOMScoreAdj = OOMScore{} // it says the default, which had no text of its own when identities began
	}
	orElse(&s.User, "0")
	orElse(&s.WorkingDir, "/")
	orElse(&s.Umask, "0022")
	orElse(&s.Hostname, c.Metadata.Name)
	orElse(&s.Network.Mode, NetworkPrivate)
	orElse(&s.Security.Seccomp, SeccompDefault)
	s.Security.MaskedPaths = listOrElse(s.Security.MaskedPaths, DefaultMaskedPaths)
	s.Security.ReadonlyPaths = listOrElse(s.Security.ReadonlyPaths, DefaultReadonlyPaths)
	orElse(&s.Restart.Policy, RestartAlways)
	orElse(&s.Restart.Backoff.Initial, Duration(time.Second))
	orElse(&s.Restart.Backoff.Max, Duration(time.Minute))
	orElse(&s.Restart.Backoff.Factor, 2)
	orElse(&s.Restart.Backoff.ResetAfter, Duration(10*time.Minute))
	orElse(&s.Stop.Signal, "SIGTERM")
	orElse(&s.Stop.Timeout, Duration(30*time.Second))
	orElse(&s.Logs.MaxSize, 10<<20)
	orElse(&s.Logs.MaxFiles, 5)
	return c
}

func defaultWritable(w Writable) Writable {
	orElse(&w.Medium, MediumMemory)
	switch w.Medium {
	case MediumDirect:
		return w
	case MediumDisk:
		orElse(&w.Life, LifeInstance)
		return w
	}
	orElse(&w.Life, LifeStart)
	orElse(&w.Size, 64<<20)
	return w
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func listOrElse(field *[]string, value []string) *[]string {
	if field != nil {
		return field
	}
	list := slices.Clone(value)
	return &list
}
