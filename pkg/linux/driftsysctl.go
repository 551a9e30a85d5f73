package linux

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace/inside"
)

// tunables are the kernel parameters of the container's namespaces that its manifest says, and in which kind each is.
func (l *deepLook) tunables() (list []mount.Sysctl, err error) {
	ids, err := l.n.mappings(l.full)
	if err != nil {
		return nil, err
	}
	return mount.NewSysctls(l.full, ids)
}

// spaces are the namespaces that parameters are in.
var spaces = []struct {
	kind string
	flag int
}{{namespace.FileNet, unix.CLONE_NEWNET}, {namespace.FileIPC, unix.CLONE_NEWIPC}}

// consumed ends the names of parameters that the kernel takes back when they were used once: Documentation/admin-guide/sysctl/kernel.rst, at msg_next_id.
const consumed = "_next_id"

// sysctls compares parameters.
func (l *deepLook) sysctls() error {
	all, err := l.tunables()
	if err != nil {
		return err
	}
	for _, space := range spaces {
		mine := slices.DeleteFunc(slices.Clone(all), func(s mount.Sysctl) bool { return s.Namespace() != space.kind || strings.HasSuffix(s.Name, consumed) })
		if len(mine) == 0 {
			continue
		}
		err := l.inside(space.kind, space.flag, func() error {
			for _, s := range mine {
				found, err := s.Get()
				if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) { // of a link that is gone; only to be written
					continue
				}
				if err != nil {
					return err
				}
				l.differs("sysctls["+s.Name+"]", found, l.n.stored.of(s), true)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inside does something on a thread in one of the container's namespaces.
func (l *deepLook) inside(kind string, flag int, do func() error) error {
	ns, done, err := l.open(kind)
	if err != nil {
		return err
	}
	defer done()
	return inside.Do(ns, flag, do)
}

// setSysctls sets parameters again. What the kernel makes of a value is what is wanted from now on: some are rounded, or bounded.
func (l *deepLook) setSysctls(fields []string) error {
	all, err := l.tunables()
	if err != nil {
		return err
	}
	var errs []error
	for _, space := range spaces {
		mine := slices.DeleteFunc(slices.Clone(all), func(s mount.Sysctl) bool {
			return s.Namespace() != space.kind || !slices.Contains(fields, "sysctls["+s.Name+"]")
		})
		if len(mine) == 0 {
			continue
		}
		errs = append(errs, l.inside(space.kind, space.flag, func() error {
			var errs []error
			for _, s := range mine {
				err := s.Set()
				if err == nil {
					var found string
					if found, err = s.Get(); err == nil {
						l.n.stored.note(s, found)
					}
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		}))
	}
	return errors.Join(errs...)
}

// hostname compares the container's name for itself. A group has one for all, and so has who joins another's.
func (l *deepLook) hostname() error {
	own := slices.ContainsFunc(namespace.Kinds, func(k namespace.Kind) bool { return k.Name == namespace.FileUTS && l.isOwn(k) })
	free := l.has.Has(unix.CAP_SYS_ADMIN)
	if !own || l.full.Spec.Group != "" || free && l.in.Spec.Spec.Hostname == "" {
		return nil
	}
	return l.inside(namespace.FileUTS, unix.CLONE_NEWUTS, func() error {
		var name unix.Utsname
		if err := unix.Uname(&name); err != nil {
			return err
		}
		l.differs("hostname", unix.ByteSliceToString(name.Nodename[:]), l.full.Spec.Hostname, !free)
		return nil
	})
}

func (l *deepLook) setHostname([]string) error {
	return l.inside(namespace.FileUTS, unix.CLONE_NEWUTS, func() error { return unix.Sethostname([]byte(l.full.Spec.Hostname)) })
}
