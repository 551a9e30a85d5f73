package linux

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup/systemd"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Config says where a node keeps its things. The three directories are made where missing; they must belong to this user, with nobody else
// allowed to write there, and one process at a time has them. None of the four paths has a default.
type Config struct {
	// RunDir dies with the boot: state, sockets, pipes; a tmpfs such as /run/reconciler.
	RunDir string
	// StateDir survives it: writable layers on disk, ids, addresses and ports given out.
	StateDir string
	// LogDir is where the containers' output goes, in one directory a name.
	LogDir string
	// LogDriver is that of containers that say none: spec.LogFile (default) or spec.LogNone. The node itself knows no journal: what is to go there is in its
	// files until somebody moves it, see package journal.
	LogDriver spec.LogDriver
	// CgroupParent is the cgroup above all containers, below every hierarchy's mount point: reconciler. Under systemd it names a scope
	// that systemd delegates, unless it begins with a slash.
	CgroupParent string
	// Keeper is the command that runs a keeper, given --run-dir. Default: this program, from a sealed copy, which calls keeper.Hook first in main.
	Keeper []string
	// Log gets what has no caller to go to, such as a bridge that cannot be taken over. The zero value says nothing.
	Log logr.Logger
	// Subnet is cut into the subnets of bridges. Default network.DefaultSubnet.
	Subnet netip.Prefix
}

// said is the config with absolute paths, because the keeper has a working directory of its own. It refuses what has no default.
func (c Config) said() (Config, error) {
	for _, word := range []struct {
		field string
		text  *string
		path  bool
	}{{"RunDir", &c.RunDir, true}, {"StateDir", &c.StateDir, true}, {"LogDir", &c.LogDir, true}, {"CgroupParent", &c.CgroupParent, false}} {
		if *word.text == "" {
			return c, fmt.Errorf("the config does not say %s: %w", word.field, fs.ErrInvalid)
		}
		if !word.path {
			continue
		}
		path, err := filepath.Abs(*word.text)
		if err != nil {
			return c, err
		}
		*word.text = path
	}
	return c, nil
}

// CheckCgroupParent says why a Config's CgroupParent can be none on this machine: it is no path below a mount point, or, under systemd, its last part names no unit. The
// error is fs.ErrInvalid.
func CheckCgroupParent(parent string) error {
	plain, _ := strings.CutPrefix(parent, "/")
	if err := cgroup.CheckParent(plain); err != nil || feature.Systemd.Probe() != nil {
		return err
	}
	return systemd.CheckName(path.Base(plain))
}
