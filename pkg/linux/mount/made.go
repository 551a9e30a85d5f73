package mount

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// openMade makes a file system that does not depend on the child's namespaces, and may wait for a disk.
func (p Plan) openMade(m Mount, room *room) (_ *os.File, err error) {
	config := slices.Concat([]Setting{{"source", m.Name}}, m.Config, p.context(m.Type))
	attr := m.flags() &^ readonly
	if m.Type == "tmpfs" { // made read-only last, see mount
		config = owned(config, p.IDs)
	} else if m.flags()&readonly != 0 { // also of its superblock: the device may be read-only
		config, attr = append(config, Setting{"ro", ""}), attr|readonly
	}
	f, err := newFS(m.Type, config, attr)
	if err != nil {
		return nil, err
	}
	if m.CopyUp {
		err = p.copyUp(f, m, room)
	}
	if c := (change{MountAttr: unix.MountAttr{Propagation: m.Propagation.Flag}}); err == nil {
		err = c.apply(int(f.Fd()))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// owned adds the owner of a tmpfs's root directory, where a manifest does not say it.
func owned(config []Setting, ids IDMap) []Setting {
	uid, gid, err := ids.root()
	if err != nil || ids.IsZero() {
		return config
	}
	return append([]Setting{{"uid", fmt.Sprint(uid)}, {"gid", fmt.Sprint(gid)}}, config...)
}

// newFS makes a detached mount of a new file system. An error names the option that the kernel refused, and says what it
// says about it. See fsopen(2), fsconfig(2), fsmount(2).
func newFS(fstype string, config []Setting, attr uint64) (*os.File, error) {
	ctx, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err == unix.ENODEV {
		return nil, fmt.Errorf("the kernel has no file system of this type: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(ctx)
	for _, c := range config {
		if c.Value == "" {
			err = unix.FsconfigSetFlag(ctx, c.Key)
		} else {
			err = unix.FsconfigSetString(ctx, c.Key, c.Value)
		}
		if err != nil {
			return nil, fmt.Errorf("option %s: %w%s", c, err, fsLog(ctx))
		}
	}
	if err := unix.FsconfigCreate(ctx); err != nil {
		return nil, fmt.Errorf("fsconfig: %w%s", err, fsLog(ctx))
	}
	fd, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, int(attr))
	if err != nil {
		return nil, fmt.Errorf("fsmount: %w%s", err, fsLog(ctx))
	}
	return os.NewFile(uintptr(fd), fstype), nil
}

// String is the option as mount(8) has it.
func (s Setting) String() string {
	if s.Value == "" {
		return s.Key
	}
	return s.Key + "=" + s.Value
}

// fsLog is what the kernel has to say about a file system that could not be made, in brackets. See fsopen(2).
func fsLog(ctx int) string {
	var lines []string
	for len(lines) < 8 {
		line := make([]byte, 512)
		n, err := unix.Read(ctx, line)
		if err != nil || n <= 0 {
			break
		}
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "e ")))
	}
	if len(lines) == 0 {
		return ""
	}
	return " (" + strings.Join(lines, "; ") + ")"
}

// context is the setting that labels a file system's files for SELinux. Those of the kernel's own objects take none.
func (p Plan) context(fstype string) []Setting {
	if p.Label == "" || slices.Contains([]string{"proc", "sysfs", "cgroup", "cgroup2", "mqueue"}, fstype) {
		return nil
	}
	return []Setting{{"context", p.Label}}
}

// Beforehand has the file systems in memory at these places made by Open, so that they can be filled before the container's first process is there.
func (p *Plan) Beforehand(places []string) {
	p.Mounts = slices.Clone(p.Mounts)
	for i := range p.Mounts {
		if m := &p.Mounts[i]; m.Type == "tmpfs" && m.File == "" && m.Legacy == 0 && slices.Contains(places, m.Destination) {
			m.File = fmt.Sprint("filled", i)
		}
	}
}

// MadeAt is the name among the files of Open of the file system in memory at a place.
func (p *Plan) MadeAt(place string) (name string, ok bool) {
	for _, m := range p.Mounts {
		if m.Type == "tmpfs" && m.Destination == place && m.File != "" {
			name, ok = m.File, true
		}
	}
	return name, ok
}

// Upper opens the directory of a layer, which Open has given, that holds what a container has written, and tells which ids files have in it. Those of a directory
// that is kept are the container's own: it is opened without the mount that shows them as the node's, and lets nobody make files whom it does not map.
func (p *Plan) Upper(layer *os.File) (*os.File, IDMap, error) {
	owners := p.IDs
	if p.Root.Layer != "" && p.Root.IDMapped {
		dir, err := os.OpenFile(p.Root.Layer, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, owners, fmt.Errorf("cannot open layer: %w", err)
		}
		defer dir.Close()
		layer, owners = dir, IDMap{}
	}
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(int(layer.Fd()), dirUpper, &how)
	if err != nil {
		return nil, owners, fmt.Errorf("cannot open %s of layer %s: %w", dirUpper, layer.Name(), err)
	}
	return os.NewFile(uintptr(fd), dirUpper), owners, nil
}
