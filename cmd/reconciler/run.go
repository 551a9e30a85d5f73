package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/audit"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/machine"
	"github.com/seed31d4122e/reconciler/pkg/meter"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// agentFlags are the flags of run.
type agentFlags struct {
	config        string
	manifests     []string
	manifestOwner uint32
	watch         *format
	policy        policyFlag
	signers       string
	prune         *format
	once          bool
	runDir        string
	criu          string
	stateDir      string
	logDir        string
	cgroupParent  string
	subnet        netip.Prefix
	drift         time.Duration
	grants        grantList
	audit         bool
	metricsListen string
	webListen     string
	metricsOwn    int
	flight        bool
	logDriver     *format
	logFormat     *format
	verbose       bool
}

func newRun(a *app) *cobra.Command {
	var f agentFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent",
		Long: `Run the agent: watch directories of manifests and make this machine agree with them, until SIGTERM or SIGINT.
The containers stay when it ends, and the next agent takes them over as they are.

Every flag has a key in ` + defaultConfig + ` and in the files of ` + defaultConfig + `.d, of which the later counts, and the flag
most; see config. SIGHUP, or reload, has the agent read its configuration and all manifests anew. What cannot change while it runs it names.

Manifests are the files *.yaml, *.yml and *.json in a directory, in lower case, but those whose names begin with . or #. Folders in
it are not read: name each with --manifests.

A manifest acts as root, so directories and files must belong to root or --manifest-owner and be
writable by nobody else. One agent serves one run directory and one cgroup parent; a second one refuses.`,
		Example: `  reconciler run --manifests /etc/reconciler/manifests.d
  reconciler run --once --manifests manifests/      # converge, then leave`,
		Annotations: exits("0  ended by a signal; with --once: everything is as the manifests say",
			"1  error; with --once: something is not as the manifests say"),
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			var live live
			if !f.once {
				asked, stop := hangups()
				defer stop()
				live.asked = asked
			}
			s, err := loadSettings(cmd.Flags())
			if err != nil {
				return err
			}
			live.line, live.started, live.newest = cmd.Flags(), s, s
			return a.run(ctx, s, &live)
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// add makes the flags. Each but callFlags is a key of the configuration as well, by its type, its help's word for its value, and its help.
func (f *agentFlags) add(flags *pflag.FlagSet) {
	f.watch = &format{string(source.WatchAuto), []string{string(source.WatchAuto), string(source.WatchNever)}}
	f.prune = &format{string(reconcile.PruneGuarded), []string{string(reconcile.PruneAlways), string(reconcile.PruneNever), string(reconcile.PruneGuarded)}}
	f.logFormat = &format{"auto", []string{"auto", "text", "json", "journal"}}
	f.logDriver = &format{string(spec.LogFile), nil}
	for _, driver := range spec.LogDrivers() {
		f.logDriver.words = append(f.logDriver.words, string(driver))
	}
	flags.StringVar(&f.config, "config", "", "a `FILE` of kind AgentConfig, /dev/null for none (default: "+defaultConfig+", if it is there)")
	flags.StringArrayVar(&f.manifests, "manifests", []string{"/etc/reconciler/manifests.d"}, "a `DIR` of manifests; may be repeated")
	flags.Uint32Var(&f.manifestOwner, "manifest-owner", 0, "the `UID` that may own manifests, beside root")
	f.policy.flag(flags)
	flags.StringVar(&f.signers, "require-signatures", "", "take only manifests that one of the allowed signers in `FILE` has signed: ssh-keygen -Y sign -n reconciler (default: any)")
	flags.Var(f.watch, "watch",
		"`HOW` changes of manifests are noticed, beside a look every 3s: auto asks the kernel, but of network file systems; never reads instead, contents every 10s")
	flags.Var(f.prune, "prune",
		"whether containers go with their manifests: always, never or guarded; `POLICY` guarded holds back a scan that removes more than 3 and more than half of a directory until it is confirmed, see prune")
	flags.BoolVar(&f.once, "once", false, "converge, then leave")
	flags.StringVar(&f.runDir, "run-dir", defaultRunDir, "`DIR` for what dies with the boot")
	flags.StringVar(&f.stateDir, "state-dir", "/var/lib/reconciler", "`DIR` for what survives it")
	flags.StringVar(&f.logDir, "log-dir", "/var/log/reconciler", "`DIR` for the output of containers")
	flags.Var(f.logDriver, "log-driver", "where the output of containers goes whose manifests do not say logs.driver: `DRIVER` File (below --log-dir), Journald, Both or None")
	flags.StringVar(&f.cgroupParent, "cgroup-parent", "reconciler", "the `CGROUP` above all containers; under systemd, a delegated scope of that name, unless it begins with /")
	flags.TextVar(&f.subnet, "bridge-subnet", network.DefaultSubnet, "the `PREFIX` that bridges get their subnets from, each at most a /22")
	flags.DurationVar(&f.drift, "drift-interval", time.Minute, "how often each container is compared with all that the kernel shows of it; 0 for never: then only limits and pauses are")
	flags.StringVar(&f.criu, "criu", "", "the criu `PROGRAM` that images are taken with; default: the first that is found, if it proves itself")
	flags.Var(&f.grants, "grant", "let others use the socket, beside root and the group "+api.Group+": `ROLE=WHO`, read, operate or admin to group:NAME, gid:N, user:NAME or uid:N; may be repeated")
	flags.BoolVar(&f.audit, "audit", true, "write who asked for what into "+audit.FileName+" below --log-dir")
	flags.StringVar(&f.metricsListen, "metrics-listen", "", "serve metrics at http://`HOST:PORT`/metrics as well, to whoever reaches it, such as 127.0.0.1:9464 (default: on the socket alone)")
	flags.StringVar(&f.webListen, "web-listen", "", "serve the web page at http://`HOST:PORT`/ui/ as well, to who has the token and on a loopback address, such as 127.0.0.1:9465; see web (default: on the socket alone)")
	flags.IntVar(&f.metricsOwn, "metrics-containers", 1000, "how many containers have metrics of their own, `N`; those of the others are added up")
	flags.BoolVar(&f.flight, "flight-recorder", false, "keep the latest seconds of the agent's execution trace in memory, for debug trace")
	flags.Var(f.logFormat, "log-format", "auto (text on a terminal, journal where standard error is the journal, else json), text, json or journal")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log every event and decision")
}

// gcPercent is less than the runtime's own 100: an agent waits most of the time and then makes little garbage, and memory is what it takes from the containers.
const gcPercent = 40

// run opens the node, then serves the API and the loop until ctx ends or one of them fails.
func (a *app) run(ctx context.Context, s *settings, live *live) error {
	syscall.Umask(0o022) // whatever the caller has: containers see files that are made here, in the modes that are said
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	f := s.agentFlags
	live.verbose(f.verbose)
	log := newLogger(a.err, f.logFormat.word, &live.level)
	t, err := s.take(source.ReadTrusted)
	if err != nil {
		return err
	}
	sources, err := live.open(f.manifests, t.options)
	if err != nil {
		return err
	}
	node, err := machine.Open(ctx, machine.Config{CRIU: f.criu, Config: linux.Config{
		RunDir: f.runDir, StateDir: f.stateDir, LogDir: f.logDir, LogDriver: spec.LogDriver(f.logDriver.word), CgroupParent: f.cgroupParent, Subnet: f.subnet, Log: log,
	}})
	if err != nil {
		return needsRoot(err)
	}
	defer node.Close()
	store, err := record.Open(filepath.Join(f.stateDir, "inventory"))
	if err != nil {
		return err
	}
	defer store.Close()
	figures := meter.New()
	agent, err := reconcile.New(reconcile.Config{
		Node: node, Store: store, Sources: sources, Prune: t.rules.Prune, DeepLook: t.rules.DeepLook, Allows: t.rules.Allows, Meter: figures, Log: log,
	})
	if err != nil {
		return err
	}
	live.agent, live.log = agent, log
	live.lost(t.lost)
	if f.once {
		// What has nothing to keep leaves no keeper.
		return errors.Join(agent.RunOnce(ctx), node.Shutdown(context.WithoutCancel(ctx)))
	}
	return a.serve(ctx, f, t.grants, live, node, figures)
}

// needsRoot is the error of who lacks what all of this takes, in place of one about what was tried first.
func needsRoot(err error) error {
	lack := feature.Privileges.Probe()
	if lack == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("cannot run the agent: %w", lack)
}

// serve runs API and loop side by side. The first to end ends the other.
func (a *app) serve(ctx context.Context, f agentFlags, grants api.Grants, live *live, node *machine.Node, figures *meter.Meter) error {
	agent, log := live.agent, live.log
	listener, err := f.listen(a)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := grants.Share(listener.Addr().String()); err != nil {
		log.Error(err, "a grant is without effect")
	}
	forwarding := newForwarding(node.Node, log)
	inside, err := f.inside(agent, node, figures, forwarding)
	if err != nil {
		return err
	}
	config := api.Config{
		Agent: agent, Logs: nodeLogs{node.Node, agent}, Node: node, Images: node, Version: buildInfo().Version, Grants: grants, Configuration: live.shown, Reload: live.reload, Log: log,
		Answered: figures.Answered, Mounts: append(inside.mounts(), pageMounts()...),
	}
	if f.audit {
		config.Audit = audit.Open(f.logDir, log)
		defer config.Audit.Close()
	}
	server := api.New(config)
	doors := []door{f.metricsDoor(inside, log), f.webDoor(server.Handler(), log)}
	for i := range doors {
		doors[i].tell = func(err error) {
			log.Error(err, "the agent goes on without an address, and tries again")
			agent.Tell(reconcile.Event{Warning: true, Reason: "AddressUnavailable", Message: err.Error()})
		}
		doors[i].try()
	}
	live.share = func(grants api.Grants) {
		server.SetGrants(grants)
		if err := grants.Share(listener.Addr().String()); err != nil {
			log.Error(err, "a grant is without effect")
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts := []func() error{
		func() error { return agent.Run(ctx) },
		func() error { return server.Serve(ctx, listener) },
		func() error { return forwarding.run(ctx, agent) },
		func() error { return doors[0].keep(ctx) },
		func() error { return doors[1].keep(ctx) },
	}
	errs := make(chan error, len(parts))
	for _, part := range parts {
		go func() {
			errs <- part()
			stop()
		}()
	}
	ready := make(chan struct{})
	go supervise(ctx, agent, ready, log)
	go reloads(ctx, live.asked, ready, live.reload, log)
	log.Info("agent started", "manifests", fmt.Sprint(f.manifests), "socket", listener.Addr().String(), "pid", os.Getpid())
	<-ctx.Done()
	notify(log, "STOPPING=1")
	log.Info("agent ends; the containers stay")
	for range parts {
		err = errors.Join(err, <-errs)
	}
	return err
}

// listen takes the socket that systemd made, or makes it.
func (f agentFlags) listen(a *app) (net.Listener, error) {
	if listener, err := activated(); listener != nil || err != nil {
		return listener, err
	}
	path := filepath.Join(f.runDir, socketName)
	if a.socket != "" {
		path = a.socket
	}
	return api.Listen(path)
}
