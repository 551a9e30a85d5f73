package linux

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A user namespace cannot be given to who restores: criu makes it together with the first process, from the maps of the image. All other namespaces of the container
// have to belong to it, so they are made with it as well, the network among them, which is then plugged in like that of a first start.

// checkUsers refuses containers with users of their own whose namespaces are also another's.
func checkUsers(s spec.ContainerSpec) error {
	if !s.Security.Landlock.IsZero() {
		return fmt.Errorf("it is under rules of Landlock, which would be gone after a restore: %w\nhint: leave security.landlock out", errors.ErrUnsupported)
	}
	if !hasUsers(s) {
		return nil
	}
	refuse := func(what, hint string) error {
		return fmt.Errorf("it has users of its own and %s: a restore makes all its namespaces anew: %w\nhint: %s", what, errors.ErrUnsupported, hint)
	}
	switch {
	case s.Namespaces.User.Mode == spec.UserJoin:
		return fmt.Errorf("its users are another's, and a restore makes them anew: %w\nhint: say namespaces.user.mode Auto or Map", errors.ErrUnsupported)
	case s.Group != "":
		return refuse("shares its namespaces with a group", "leave group or namespaces.user out")
	case s.Namespaces.Time.Private():
		return refuse("clocks of its own, which are not its users'", "leave namespaces.time or namespaces.user out")
	}
	for _, k := range namespace.Kinds {
		if k.Wanted(s) == namespace.Joined {
			return refuse(fmt.Sprintf("the %s namespace of another", k.Name), "let it have its own, or leave namespaces.user out")
		}
	}
	return nil
}

// users finds out whose the container's users are.
func (d *Dump) users() error {
	pid := d.Instance.Pid
	theirs, err := namespace.OfProcess(pid, namespace.FileUser)
	if err != nil {
		return err
	}
	own, err := namespace.OfProcess(os.Getpid(), namespace.FileUser)
	if err != nil || own == theirs {
		return err
	}
	d.Users.UIDs, d.Users.GIDs, err = namespace.MapsOf(pid)
	return err
}
