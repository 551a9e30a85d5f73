package api

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// Role is what a caller may do. Each may do all that those before it may.
type Role uint8

// The roles. The zero value may do nothing.
const (
	None    Role = iota
	Read         // look: containers, watches, logs, events, statistics, plan
	Operate      // use the verbs of containers that manifests could ask for as well: stop, start, restart, kill, checkpoint
	Admin        // everything else: run commands in containers, carry images in and out, confirm removals, bring the node down
)

// roleNames are the words of the roles.
var roleNames = [...]string{"none", "read", "operate", "admin"}

// String is the word of a role.
func (r Role) String() string { return roleNames[r] }

// Grant gives a role to a user or to the members of a group.
type Grant struct {
	Role  Role
	Group bool // ID is a group's
	ID    uint32
}

// CheckGrant says why a text is no grant that ParseGrant could read. Whether its name is one of this node's it does not ask.
func CheckGrant(text string) error {
	_, _, err := splitGrant(text)
	return err
}

// ParseGrant reads ROLE=group:NAME, ROLE=gid:N, ROLE=user:NAME or ROLE=uid:N. A name has to be one of this node's /etc/passwd or /etc/group.
func ParseGrant(text string) (Grant, error) {
	g, find, err := splitGrant(text)
	if err != nil || find == nil {
		return g, err
	}
	id, err := find()
	n, numErr := strconv.ParseUint(id, 10, 32)
	if err = cmp.Or(err, numErr); err != nil {
		return Grant{}, fmt.Errorf("grant %q: %w", text, err)
	}
	g.ID = uint32(n)
	return g, nil
}

// splitGrant is a grant as its text has it, and what finds the number that belongs to its name, nil where it has one.
func splitGrant(text string) (_ Grant, find func() (string, error), err error) {
	role, who, _ := strings.Cut(text, "=")
	kind, name, _ := strings.Cut(who, ":")
	g := Grant{Role: Role(max(0, slices.Index(roleNames[:], role))), Group: kind == "group" || kind == "gid"}
	switch kind {
	case "group":
		find = func() (string, error) { return groupNumber(name) }
	case "user":
		find = func() (string, error) { return userNumber(name) }
	case "uid", "gid":
		var n uint64
		n, err = strconv.ParseUint(name, 10, 32)
		g.ID = uint32(n)
	default:
		g.Role = None
	}
	if g.Role == None || name == "" {
		return Grant{}, nil, fmt.Errorf("grant %q: want ROLE=group:NAME, gid:N, user:NAME or uid:N, and read, operate or admin for ROLE", text)
	}
	if err != nil {
		return Grant{}, nil, fmt.Errorf("grant %q: %w", text, err)
	}
	return g, find, nil
}

func groupNumber(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

func userNumber(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

// Grants say who may do what beside root and the agent's own user, who may do everything. Members of the group reconciler may, too,
// unless a grant speaks of that group.
type Grants []Grant

// ParseGrants reads grants as ParseGrant does. One that it cannot read, as its name is nobody's on this node any more, is left out, and part of the error.
func ParseGrants(texts []string) (list Grants, err error) {
	for _, text := range texts {
		g, failed := ParseGrant(text)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		list = append(list, g)
	}
	return list, err
}

// role is the highest that somebody has.
func (gs Grants) role(p Peer) (highest Role) {
	if p.UID == 0 || int(p.UID) == os.Geteuid() {
		return Admin
	}
	if gid, ok := groupID(); ok {
		gs = gs.withGroup(gid)
	}
	for _, g := range gs {
		if g.Group && p.memberOf(g.ID) || !g.Group && g.ID == p.UID {
			highest = max(highest, g.Role)
		}
	}
	return highest
}

// withGroup are the grants with that of the group reconciler, unless one speaks of it.
func (gs Grants) withGroup(gid uint32) Grants {
	if slices.ContainsFunc(gs, func(g Grant) bool { return g.Group && g.ID == gid }) {
		return gs
	}
	return append(gs[:len(gs):len(gs)], Grant{Admin, true, gid})
}
