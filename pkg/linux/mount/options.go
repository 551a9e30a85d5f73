package mount

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// flags are the words of mount(8) for the flags of mount_setattr(2): what a word sets and what it clears.
var flags = map[string]struct{ set, clear uint64 }{
	"ro":          {set: unix.MOUNT_ATTR_RDONLY},
	"rw":          {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid":      {set: unix.MOUNT_ATTR_NOSUID},
	"suid":        {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev":       {set: unix.MOUNT_ATTR_NODEV},
	"dev":         {clear: unix.MOUNT_ATTR_NODEV},
	"noexec":      {set: unix.MOUNT_ATTR_NOEXEC},
	"exec":        {clear: unix.MOUNT_ATTR_NOEXEC},
	"nosymfollow": {set: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"symfollow":   {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"nodiratime":  {set: unix.MOUNT_ATTR_NODIRATIME},
	"diratime":    {clear: unix.MOUNT_ATTR_NODIRATIME},
	"relatime":    {clear: unix.MOUNT_ATTR__ATIME},
	"noatime":     {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	"strictatime": {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
}

// binds are the words that only a bind mount has.
var binds = map[string]func(*Bind){
	"bind":     func(b *Bind) { b.Recursive = false },
	"rbind":    func(b *Bind) { b.Recursive = true },
	"private":  func(b *Bind) { b.Propagation = unix.MS_PRIVATE },
	"slave":    func(b *Bind) { b.Propagation = unix.MS_SLAVE },
	"shared":   func(b *Bind) { b.Propagation = unix.MS_SHARED },
	"rprivate": func(b *Bind) { b.Propagation = unix.MS_PRIVATE },
	"rslave":   func(b *Bind) { b.Propagation = unix.MS_SLAVE },
	"rshared":  func(b *Bind) { b.Propagation = unix.MS_SHARED },
}

// values are the key=value words of tmpfs and what their values look like, see tmpfs(5).
var values = map[string]*regexp.Regexp{
	"size":      regexp.MustCompile(`^[0-9]{1,19}([kmgKMG]i?|%)?$`),
	"nr_inodes": regexp.MustCompile(`^[0-9]{1,19}[kmgKMG]?$`),
	"mode":      regexp.MustCompile(`^[0-7]{1,5}$`),
	"uid":       regexp.MustCompile(`^[0-9]{1,10}$`),
	"gid":       regexp.MustCompile(`^[0-9]{1,10}$`),
}

// apply adds one option word; a later word overrules an earlier one.
func (m *Mount) apply(word string) error {
	if f, ok := flags[word]; ok {
		m.Set = m.Set&^f.clear | f.set
		m.Clear = m.Clear&^f.set | f.clear
		return nil
	}
	if set, ok := binds[word]; ok {
		if m.Type != spec.MountBind {
			return fmt.Errorf("only a bind mount has the option %q", word)
		}
		set(&m.Bind)
		return nil
	}
	key, value, said := strings.Cut(word, "=")
	form, ok := values[key]
	switch {
	case !ok || !said:
		return fmt.Errorf("unknown option %q", word)
	case m.Type != spec.MountTmpfs:
		return fmt.Errorf("only a tmpfs mount has the option %q", word)
	case !form.MatchString(value):
		return fmt.Errorf("bad value in the option %q", word)
	}
	m.set(key, strings.TrimSuffix(value, "i")) // the kernel's 64M is 64Mi
	return nil
}

// set puts one setting in place of an earlier one of its key.
func (m *Mount) set(key, value string) {
	m.Config = slices.DeleteFunc(m.Config, func(s Setting) bool { return s.Key == key })
	m.Config = append(m.Config, Setting{key, value})
}
