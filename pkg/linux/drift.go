package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// DriftRow is one subject that a deep look compares.
type DriftRow struct {
	// Field is what Drift calls it; NAME stands for each of several.
	Field string
	// Read says how it is read, Wanted what it is compared with.
	Read, Wanted string
	// Done says what is done about it: repaired or reported, and the reason where there is a choice.
	Done string

	look   func(*deepLook) error
	repair func(*deepLook, []string) error // puts back fields; nil: they are only reported
}

// DriftRows are all of them, in the order in which they are looked at. Limits (resources) and the freezer are not among them: every observation has those.
//
// What a process may change of itself without a privilege is no drift, and is not here: a lower rlimit, a soft one below its hard one, a higher oom_score_adj, its
// nice value, its processors within the cpuset and its scheduling policy, the umask. What the kernel lets nobody take back, the seccomp filter, no_new_privs, capabilities
// given up and Landlock, cannot drift.
var DriftRows = []DriftRow{
	{
		"cgroup", "cgroup.procs of the container's cgroup in each hierarchy, and the children of process 1", "process 1 and what descends from it is in them",
		"repaired: moved back, unless the container has made cgroups of its own there", (*deepLook).cgroups, (*deepLook).returnAll,
	},
	{
		"cgroup.procs", "the pid namespaces of the processes in the cgroup", "all are the container's",
		"reported: a stranger ends when the container is stopped", (*deepLook).strangers, nil,
	},
	{
		"namespaces.NAME", "/proc/PID/ns of process 1", "the one that the keeper keeps for the name; else one that is not the node's, or the node's, as the manifest says",
		"reported: a process cannot be put into another one", (*deepLook).namespaces, nil,
	},
	{
		"mounts[NAME], rootfs, security.maskedPaths[NAME], security.readonlyPaths[NAME]", "/proc/PID/mountinfo of process 1", "a mount with ro, nosuid, nodev, noexec and source as a start makes it; what a container that has CAP_SYS_ADMIN has besides those of its manifest is its own",
		"reported: only who is in a mount namespace can change it, and the agent goes into none", (*deepLook).mounts, nil,
	},
	{
		"network.NAME", "rtnetlink on the node and in the network namespace, nftables", "bridge, both ends up and plugged in, said MTU, addresses, routes, lo up, the table of published ports, net.ipv4.ip_forward; what somebody added stays",
		"repaired; a route that leads elsewhere than the manifest says is reported", (*deepLook).network, (*deepLook).mendNetwork,
	},
	{
		"sysctls[NAME]", "/proc/sys on a thread in the namespace", "the value that the manifest says, as this kernel shows it",
		"repaired", (*deepLook).sysctls, (*deepLook).setSysctls,
	},
	{
		"hostname", "uname(2) on a thread in the namespace", "the manifest's, or the container's name unless it has CAP_SYS_ADMIN, with which it may call itself what it likes",
		"repaired without CAP_SYS_ADMIN, else reported where the manifest says it", (*deepLook).hostname, (*deepLook).setHostname,
	},
	{
		"devices", "the program that BPF_PROG_QUERY finds at the cgroup, by its tag; devices.list on v1", "those of the rules",
		"repaired", (*deepLook).devices, (*deepLook).setDevices,
	},
	{
		"oomScoreAdj", "/proc/PID/oom_score_adj", "not lower than the manifest says, which takes CAP_SYS_RESOURCE",
		"reported", (*deepLook).oomScore, nil,
	},
	{
		"rlimits[NAME]", "/proc/PID/limits", "a hard limit not higher than the manifest says, which takes CAP_SYS_RESOURCE",
		"reported", (*deepLook).rlimits, nil,
	},
}

// deepLook is one look at one run.
type deepLook struct {
	n      *Node
	ctx    context.Context
	in     spec.Instance
	full   spec.Container // with the defaults
	group  *cgroup.Group
	kept   map[string]*os.File // namespaces that the keeper keeps, by kind, when it was asked
	asked  bool
	has    capability.Set // what process 1 can ever have
	places []cgroup.Place
	drifts []spec.Drift
}

// differs notes a field, if it differs. What is found may be of somebody who would write on the terminal of whoever reads it.
func (l *deepLook) differs(field, found, wanted string, repairable bool) {
	if found == wanted {
		return
	}
	if strings.ContainsFunc(found, func(r rune) bool { return !strconv.IsPrint(r) }) {
		found = strconv.Quote(found)
	}
	l.drifts = append(l.drifts, spec.Drift{Field: field, Found: found, Wanted: wanted, Repairable: repairable})
}

// Drift compares a run with what its record says; see reconcile.Node. What is seen of a process that ends meanwhile is nothing.
func (n *Node) Drift(ctx context.Context, name string, id uint64) (drifts []spec.Drift, err error) {
	err = n.lookDeep(ctx, name, id, func(l *deepLook) error {
		for _, row := range DriftRows {
			if err := row.look(l); err != nil {
				return fmt.Errorf("cannot compare %s: %w", row.Field, err)
			}
		}
		drifts = l.drifts
		return nil
	})
	if errors.Is(err, errEnded) {
		return nil, nil
	}
	return drifts, about("look deep into", name, err)
}

// Repair puts fields back; see reconcile.Node. It looks first: what is as it should be is not touched.
func (n *Node) Repair(ctx context.Context, name string, id uint64, fields ...string) error {
	err := n.lookDeep(ctx, name, id, func(l *deepLook) error {
		var errs []error
		for _, row := range DriftRows {
			if row.repair == nil || !slices.ContainsFunc(fields, row.names) {
				continue
			}
			l.drifts = nil
			errs = append(errs, row.look(l))
			var differ []string
			for _, d := range l.drifts {
				if d.Repairable && slices.Contains(fields, d.Field) {
					differ = append(differ, d.Field)
				}
			}
			if len(differ) > 0 {
				errs = append(errs, row.repair(l, differ))
			}
		}
		return errors.Join(errs...)
	})
	if errors.Is(err, errEnded) {
		return nil
	}
	return about("repair", name, err)
}

// names tells whether a row is about a field.
func (r DriftRow) names(field string) bool {
	for name := range strings.SplitSeq(r.Field, ", ") {
		if before, _, some := strings.Cut(name, "NAME"); name == field || some && strings.HasPrefix(field, before) {
			return true
		}
	}
	return false
}

// lookDeep does something about a run, if there is one: errEnded tells that it ended meanwhile, so that nothing that was seen counts.
func (n *Node) lookDeep(ctx context.Context, name string, id uint64, do func(*deepLook) error) error {
	in, err := n.known(name, id)
	if err != nil || !live(in) || in.Pid == 0 || in.Spec.Metadata.Name == "" {
		return err
	}
	if _, err := os.Lstat(filepath.Join(n.instanceDir(name, id), keeper.StartingFile)); err == nil {
		return errEnded // an earlier agent's start is under way, and not where it will be
	}
	group, err := n.group(name, id)
	if err != nil {
		return err
	}
	target, err := n.target(name, id)
	if err != nil {
		if ended(err) {
			return errEnded
		}
		return err
	}
	defer target.Close()
	l := &deepLook{n: n, ctx: ctx, in: in, full: spec.Defaulted(in.Spec, in.Defaults), group: group}
	defer func() { closeAll(l.kept) }()
	if l.has, err = capability.BoundingOf(in.Pid); err == nil {
		err = do(l)
	}
	if target.Lives() != nil || !runs(in.Pid) {
		return errEnded
	}
	return err
}

// errEnded tells that a run ended while it was looked at.
var errEnded = errors.New("its process ended meanwhile")

// runs tells whether a process has not ended. One that has and is not reaped yet is in no cgroup, and has no mounts.
func runs(pid int) bool {
	stat, err := process.ReadStat(pid)
	return err == nil && !stat.Exiting && !stat.Dead()
}

// ended tells whether an error is of a process that has ended.
func ended(err error) bool {
	return errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist)
}

// isOwn tells whether a namespace is the container's own, by its manifest.
func (l *deepLook) isOwn(k namespace.Kind) bool { return k.Wanted(l.full.Spec) == namespace.New }
