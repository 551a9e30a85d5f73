package mount

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Attr are MOUNT_ATTR_* flags to be set and to be cleared, see mount_setattr(2).
type Attr struct{ Set, Clear uint64 }

// flag is what a word does to the flags. An opposite takes back only the word it is the opposite of: after noatime,
// nostrictatime changes nothing.
type flag struct {
	set, clear uint64
	opposite   bool
}

// flags are the words of mount(8) for the flags of a mount. The access times are one field of three values, of which
// relatime is the kernel's own. Each word with r in front holds for all mounts below as well.
var flags = map[string]flag{
	"ro":            {set: unix.MOUNT_ATTR_RDONLY},
	"rw":            {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid":        {set: unix.MOUNT_ATTR_NOSUID},
	"suid":          {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev":         {set: unix.MOUNT_ATTR_NODEV},
	"dev":           {clear: unix.MOUNT_ATTR_NODEV},
	"noexec":        {set: unix.MOUNT_ATTR_NOEXEC},
	"exec":          {clear: unix.MOUNT_ATTR_NOEXEC},
	"nosymfollow":   {set: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"symfollow":     {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"nodiratime":    {set: unix.MOUNT_ATTR_NODIRATIME},
	"diratime":      {clear: unix.MOUNT_ATTR_NODIRATIME},
	"relatime":      {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
	"noatime":       {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	"strictatime":   {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	"norelatime":    {set: unix.MOUNT_ATTR_RELATIME, opposite: true},
	"atime":         {set: unix.MOUNT_ATTR_NOATIME, opposite: true},
	"nostrictatime": {set: unix.MOUNT_ATTR_STRICTATIME, opposite: true},
}

// apply adds the effect of one word; a later one overrules an earlier one.
func (a *Attr) apply(f flag) {
	if f.opposite {
		if a.Clear&unix.MOUNT_ATTR__ATIME != 0 && a.Set&unix.MOUNT_ATTR__ATIME != f.set {
			return
		}
		f = flag{clear: unix.MOUNT_ATTR__ATIME}
	}
	a.Set = a.Set&^f.clear | f.set
	a.Clear = a.Clear&^f.set | f.clear
}

// Propagation says how mounts pass to and from a mount's peers: MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE; the
// zero value leaves it as it is. See mount_namespaces(7).
type Propagation struct {
	Flag      uint64
	Recursive bool
}

// propagations are the words for it.
var propagations = map[string]Propagation{
	string(spec.PropagationPrivate):     {Flag: unix.MS_PRIVATE},
	string(spec.PropagationRPrivate):    {unix.MS_PRIVATE, true},
	string(spec.PropagationSlave):       {Flag: unix.MS_SLAVE},
	string(spec.PropagationRSlave):      {unix.MS_SLAVE, true},
	string(spec.PropagationShared):      {Flag: unix.MS_SHARED},
	string(spec.PropagationRShared):     {unix.MS_SHARED, true},
	string(spec.PropagationUnbindable):  {Flag: unix.MS_UNBINDABLE},
	string(spec.PropagationRUnbindable): {unix.MS_UNBINDABLE, true},
}

// supers are the words for a new file system: a setting that every type takes (its opposite takes its place), or a flag
// that only mount(2) has.
var supers = map[string]struct {
	key        string
	set, clear uint64
}{
	"sync":       {key: "async"},
	"async":      {key: "sync"},
	"dirsync":    {key: "dirsync"},
	"lazytime":   {key: "nolazytime"},
	"nolazytime": {key: "lazytime"},
	"mand":       {key: "nomand"},
	"nomand":     {key: "mand"},
	"iversion":   {set: unix.MS_I_VERSION},
	"noiversion": {clear: unix.MS_I_VERSION},
	"silent":     {set: unix.MS_SILENT},
	"loud":       {clear: unix.MS_SILENT},
	"acl":        {set: unix.MS_POSIXACL},
	"noacl":      {clear: unix.MS_POSIXACL},
}

// binds are the words that only a bind mount has.
var binds = map[string]func(*Bind){
	"bind":   func(b *Bind) { b.Recursive = false },
	"rbind":  func(b *Bind) { b.Recursive = true },
	"idmap":  func(b *Bind) { b.IDMap = mapOne },
	"ridmap": func(b *Bind) { b.IDMap = mapAll },
}

// values are what the values of tmpfs(5), devpts and proc look like; a word that takes none has a nil form.
var values = map[string]func() *regexp.Regexp{
	"size":        form(`^[0-9]{1,19}([kmgKMG]i?|%)?$`),
	"nr_blocks":   form(`^[0-9]{1,19}[kmgKMG]?$`),
	"nr_inodes":   form(`^[0-9]{1,19}[kmgKMG]?$`),
	"mode":        form(`^[0-7]{1,5}$`),
	"ptmxmode":    form(`^[0-7]{1,5}$`),
	"uid":         form(`^[0-9]{1,10}$`),
	"gid":         form(`^[0-9]{1,10}$`),
	"max":         form(`^[0-9]{1,10}$`),
	"huge":        form(`^[a-z_]{1,16}$`),
	"mpol":        form(`^[a-z]+(=[a-z]+)?(:[0-9,-]+)?$`),
	"hidepid":     form(`^[0-9a-z]{1,16}$`),
	"subset":      form(`^[a-z]{1,16}$`),
	"noswap":      nil,
	"inode32":     nil,
	"inode64":     nil,
	"newinstance": nil,
}

// form compiles an expression when it is first asked for: a start needs few of them.
func form(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// apply adds one option word; a later word overrules an earlier one. In an exact mount, a word that is none of ours is
// the file system's, to be judged by the kernel, as mount(8) has it.
func (m *Mount) apply(word string, exact bool) error {
	isBind := m.Type == spec.MountBind
	if f, ok := flags[word]; ok {
		m.Attr.apply(f)
		return nil
	}
	if f, ok := flags[strings.TrimPrefix(word, "r")]; ok {
		if !isBind && !exact {
			return fmt.Errorf("only a bind mount has the option %q", word)
		}
		m.All.apply(f)
		return nil
	}
	if p, ok := propagations[word]; ok {
		m.Propagation = p
		return nil
	}
	if set, ok := binds[word]; ok {
		if !isBind {
			return fmt.Errorf("only a bind mount has the option %q", word)
		}
		set(&m.Bind)
		return nil
	}
	switch {
	case word == "defaults":
		return nil
	case word == spec.RemountFlag && exact:
		m.Remount = true
		return nil
	case word == "tmpcopyup" && m.Type == spec.MountTmpfs:
		m.CopyUp = true
		return nil
	}
	if _, ok := supers[word]; ok {
		if isBind {
			return fmt.Errorf("the option %q belongs to the file system, which a bind mount only shows", word)
		}
		m.super(word)
		return nil
	}
	return m.option(word, exact)
}

// super adds a word for the file system itself.
func (m *Mount) super(word string) {
	s := supers[word]
	m.Legacy = m.Legacy&^s.clear | s.set
	if s.key != "" {
		m.drop(s.key)
		m.set(word, "")
	}
}

// option adds a word of the type of file system.
func (m *Mount) option(word string, exact bool) error {
	key, value, hasValue := strings.Cut(word, "=")
	wants, known := values[key]
	own := slices.Contains(spec.MountOptions[m.kind], key)
	switch {
	case m.Type == spec.MountBind && own, m.Type == spec.MountBind, key == "", strings.ContainsAny(word, "\x00"):
		if slices.Contains(spec.MountOptions[spec.MountTmpfs], key) {
			return fmt.Errorf("only a tmpfs mount has the option %q", word)
		}
		return fmt.Errorf("unknown option %q", word)
	case !own && !exact && spec.HasOwnOptions(m.kind):
		if slices.Contains(spec.MountOptions[spec.MountTmpfs], key) && hasValue {
			return fmt.Errorf("only a tmpfs mount has the option %q", word)
		}
		return fmt.Errorf("unknown option %q", word)
	case own && known && !exact && (wants == nil) == hasValue:
		return fmt.Errorf("unknown option %q", word)
	case own && known && wants != nil && !wants().MatchString(value):
		return fmt.Errorf("bad value in the option %q", word)
	case own && key == "size":
		value = strings.TrimSuffix(value, "i") // the kernel's 64M is 64Mi
	}
	m.set(key, value)
	return nil
}

// set puts one setting in place of an earlier one of its key.
func (m *Mount) set(key, value string) {
	m.drop(key)
	m.Config = append(m.Config, Setting{key, value})
}

func (m *Mount) drop(key string) {
	m.Config = slices.DeleteFunc(m.Config, func(s Setting) bool { return s.Key == key })
}

// shift turns the ids in a file system's settings, which are the container's, into the node's.
func (m *Mount) shift(ids IDMap) error {
	if !spec.HasOwnOptions(m.kind) {
		return nil
	}
	for i, c := range m.Config {
		look := map[string]func(uint32) (uint32, bool){"uid": ids.UID, "gid": ids.GID}[c.Key]
		if look == nil {
			continue
		}
		id, err := strconv.ParseUint(c.Value, 10, 32)
		if err != nil {
			return fmt.Errorf("bad value in the option %q", c.Key+"="+c.Value)
		}
		node, ok := look(uint32(id))
		if !ok {
			return fmt.Errorf("%s %d is not mapped by the container's user namespace", c.Key, id)
		}
		m.Config[i].Value = strconv.FormatUint(uint64(node), 10)
	}
	return nil
}

// TakenByBind tells whether a bind mount has an option.
func TakenByBind(word string) bool {
	_, isFlag := flags[word]
	_, isAll := flags[strings.TrimPrefix(word, "r")]
	_, isPropagation := propagations[word]
	_, isBind := binds[word]
	return isFlag || isAll || isPropagation || isBind || word == "defaults" || word == spec.RemountFlag
}

// Words are all options that have a meaning here, sorted; others are a file system's.
func Words() []string {
	words := []string{"defaults", spec.RemountFlag, "tmpcopyup"}
	for word := range flags {
		words = append(words, word, "r"+word)
	}
	words = slices.AppendSeq(words, maps.Keys(propagations))
	words = slices.AppendSeq(words, maps.Keys(binds))
	words = slices.AppendSeq(words, maps.Keys(supers))
	slices.Sort(words)
	return words
}
