package rootfs

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// User is who a container's first process runs as.
type User struct {
	UID, GID uint32 // as the container counts
	// Groups are the additional groups, sorted, without GID.
	Groups []uint32
	// Name is the login name; "" for an id that /etc/passwd does not list.
	Name string
	// Home is the home directory, "/" when /etc/passwd has none: the value of HOME.
	Home string
}

// User looks up "user", "uid", "user:group" or "uid:gid" ("" is uid 0) in the root's /etc/passwd and /etc/group. Digits
// are always an id, never a name, whatever the files say. An id need not be listed: its group is then 0 and its home
// "/". Groups are those /etc/group gives the user and the additional ones, by name or id. A name that is not listed is
// an error, as are files that are not regular, larger than 1 MiB, or have a broken line for the name. See passwd(5), group(5).
func (r *Root) User(user string, additional []string) (User, error) {
	passwd, err := r.read("/etc/passwd")
	if err != nil {
		return User{}, err
	}
	group, err := r.read("/etc/group")
	if err != nil {
		return User{}, err
	}
	return lookupUser(string(passwd), string(group), user, additional)
}

// Numbers is User for "uid" or "uid:gid" and gids, which are taken as they are: no file of the root gives the user a group, or anything
// but the value of HOME, which is "/" when /etc/passwd cannot be read.
func (r *Root) Numbers(user string, additional []string) (u User, err error) {
	who, of, hasGroup := strings.Cut(user, ":")
	if user == "" {
		who = "0"
	}
	if u.UID, err = number("user", who); err != nil {
		return User{}, err
	}
	if hasGroup {
		if u.GID, err = number("group", of); err != nil {
			return User{}, err
		}
	}
	for _, group := range additional {
		gid, err := number("group", group)
		if err != nil {
			return User{}, err
		}
		u.Groups = append(u.Groups, gid)
	}
	u.Home = "/"
	if passwd, err := r.read("/etc/passwd"); err == nil {
		if listed, err := parsePasswd(string(passwd), who); err == nil {
			u.Home = listed.Home
		}
	}
	return u, nil
}

// number reads an id that cannot be a name.
func number(what, s string) (uint32, error) {
	id, isID, err := parseID(what, s)
	if err == nil && !isID {
		err = fmt.Errorf("cannot use %s %q: with base None it is a number, not looked up in the rootfs: %w", what, s, fs.ErrInvalid)
	}
	return id, err
}

func lookupUser(passwd, group, user string, additional []string) (User, error) {
	who, of, hasGroup := strings.Cut(user, ":")
	if user == "" {
		who = "0"
	}
	u, err := parsePasswd(passwd, who)
	if err != nil {
		return User{}, err
	}
	if hasGroup {
		if u.GID, err = parseGroup(group, of); err != nil {
			return User{}, err
		}
	}
	if u.Name != "" {
		u.Groups = memberships(group, u.Name)
	}
	for _, name := range additional {
		gid, err := parseGroup(group, name)
		if err != nil {
			return User{}, err
		}
		u.Groups = append(u.Groups, gid)
	}
	slices.Sort(u.Groups)
	u.Groups = slices.DeleteFunc(slices.Compact(u.Groups), func(g uint32) bool { return g == u.GID })
	return u, nil
}

// parsePasswd finds who, a name or an id, in name:password:uid:gid:gecos:home:shell lines; the first line wins.
func parsePasswd(passwd, who string) (User, error) {
	uid, isID, err := parseID("user", who)
	if err != nil {
		return User{}, err
	}
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 4 || isID && f[2] != strconv.FormatUint(uint64(uid), 10) || !isID && f[0] != who {
			continue
		}
		u := User{Name: f[0], Home: "/"}
		if u.UID, err = fileID("/etc/passwd", f[0], f[2]); err != nil {
			return User{}, err
		}
		if u.GID, err = fileID("/etc/passwd", f[0], f[3]); err != nil {
			return User{}, err
		}
		if len(f) > 5 && strings.HasPrefix(f[5], "/") && !strings.Contains(f[5], "\x00") {
			u.Home = f[5]
		}
		return u, nil
	}
	if !isID {
		return User{}, fmt.Errorf("cannot find user %q in /etc/passwd of the rootfs: %w", who, fs.ErrNotExist)
	}
	return User{UID: uid, Home: "/"}, nil
}

// parseGroup finds a group, by name or id, in name:password:gid:members lines.
func parseGroup(group, which string) (uint32, error) {
	gid, isID, err := parseID("group", which)
	if err != nil || isID {
		return gid, err
	}
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) >= 3 && f[0] == which {
			return fileID("/etc/group", which, f[2])
		}
	}
	return 0, fmt.Errorf("cannot find group %q in /etc/group of the rootfs: %w", which, fs.ErrNotExist)
}

// maxGroups is the kernel's NGROUPS_MAX, see setgroups(2).
const maxGroups = 65536

// memberships are the groups whose line lists the user; broken lines list nobody.
func memberships(group, user string) (gids []uint32) {
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 4 || len(gids) == maxGroups/2 || !slices.Contains(strings.Split(f[3], ","), user) {
			continue
		}
		if gid, err := fileID("/etc/group", f[0], f[2]); err == nil {
			gids = append(gids, gid)
		}
	}
	return gids
}

// fileID reads an id that a line of a file must have.
func fileID(file, name, s string) (uint32, error) {
	id, ok, err := parseID(file, s)
	if err != nil || !ok {
		return 0, fmt.Errorf("cannot use the line of %q in %s of the rootfs: %q is no id: %w", name, file, s, fs.ErrInvalid)
	}
	return id, nil
}

// parseID reads digits as an id. 4294967295 is (uid_t)-1, which set*id(2) takes as "leave unchanged": refused, as is
// everything larger, so that no id can wrap round to root.
func parseID(what, s string) (id uint32, isID bool, err error) {
	if s == "" {
		return 0, false, fmt.Errorf("cannot use an empty %s: %w", what, fs.ErrInvalid)
	}
	if strings.Trim(s, "0123456789") != "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, false, fmt.Errorf("cannot use %s %s: an id is at most 4294967294: %w", what, s, fs.ErrInvalid)
	}
	return uint32(n), true, nil
}
