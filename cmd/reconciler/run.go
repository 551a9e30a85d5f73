package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/audit"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/machine"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/record"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/signature"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// agentFlags are the flags of run.
type agentFlags struct {
	manifests     []string
	manifestOwner uint32
	watch         string
	policy        policyFlag
	signers       string
	prune         string
	once          bool
	runDir        string
	criu          string
	stateDir      string
	logDir        string
	cgroupParent  string
	subnet        netip.Prefix
	drift         time.Duration
	grants        []string
	audit         bool
	logFormat     *format
	verbose       bool
}

func newRun(a *app) *cobra.Command {
	f := agentFlags{logFormat: &format{"auto", []string{"auto", "text", "json"}}}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent",
		Long: `Run the agent: watch directories of manifests and make this machine agree with them, until SIGTERM or SIGINT.
The containers stay when it ends, and the next agent takes them over as they are. SIGHUP has it read all manifests anew.

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
			return a.run(ctx, f)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.manifests, "manifests", []string{"/etc/reconciler/manifests.d"}, "a `DIR` of manifests; may be repeated")
	flags.Uint32Var(&f.manifestOwner, "manifest-owner", 0, "the `UID` that may own manifests, beside root")
	f.policy.flag(cmd)
	flags.StringVar(&f.signers, "require-signatures", "", "take only manifests that one of the allowed signers in `FILE` has signed: ssh-keygen -Y sign -n reconciler (default: any)")
	flags.StringVar(&f.watch, "watch", string(source.WatchAuto),
		"`HOW` changes of manifests are noticed, beside a look every 3s: auto asks the kernel, but of network file systems; never reads instead, contents every 10s")
	flags.StringVar(&f.prune, "prune", string(reconcile.PruneGuarded),
		"whether containers go with their manifests: always, never or guarded; `POLICY` guarded holds back a scan that removes more than 3 and more than half of a directory until it is confirmed, see prune")
	flags.BoolVar(&f.once, "once", false, "converge, then leave")
	flags.StringVar(&f.runDir, "run-dir", defaultRunDir, "`DIR` for what dies with the boot")
	flags.StringVar(&f.stateDir, "state-dir", "/var/lib/reconciler", "`DIR` for what survives it")
	flags.StringVar(&f.logDir, "log-dir", "/var/log/reconciler", "`DIR` for the output of containers")
	flags.StringVar(&f.cgroupParent, "cgroup-parent", "reconciler", "the `CGROUP` above all containers; under systemd, a delegated scope of that name, unless it begins with /")
	flags.TextVar(&f.subnet, "bridge-subnet", network.DefaultSubnet, "the `PREFIX` that bridges get their subnets from, each at most a /22")
	flags.DurationVar(&f.drift, "drift-interval", time.Minute, "how often each container is compared with all that the kernel shows of it; 0 for never: then only limits and pauses are")
	flags.StringVar(&f.criu, "criu", "", "the criu `PROGRAM` that images are taken with; default: the first that is found, if it proves itself")
	flags.StringArrayVar(&f.grants, "grant", nil, "let others use the socket, beside root and the group "+api.Group+": `ROLE=WHO`, read, operate or admin to group:NAME, gid:N, user:NAME or uid:N; may be repeated")
	flags.BoolVar(&f.audit, "audit", true, "write who asked for what into "+audit.FileName+" below --log-dir")
	flags.Var(f.logFormat, "log-format", "auto (text on a terminal), text or json")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log every event and decision")
	return cmd
}

// gcPercent is less than the runtime's own 100: an agent waits most of the time, and memory is what it takes from the containers.
const gcPercent = 50

// run opens the node, then serves the API and the loop until ctx ends or one of them fails.
func (a *app) run(ctx context.Context, f agentFlags) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log := newLogger(a.err, f.logFormat.word, f.verbose)
	prune, err := reconcile.ParsePrunePolicy(f.prune)
	if err != nil {
		return err
	}
	policy, err := f.policy.read(a)
	if err != nil {
		return err
	}
	grants, err := api.ParseGrants(f.grants)
	if err != nil {
		return err
	}
	sources, err := f.sources(policy)
	if err != nil {
		return err
	}
	node, err := machine.Open(ctx, machine.Config{CRIU: f.criu, Config: linux.Config{
		RunDir: f.runDir, StateDir: f.stateDir, LogDir: f.logDir, CgroupParent: f.cgroupParent, Subnet: f.subnet, Log: log,
	}})
	if err != nil {
		return err
	}
	defer node.Close()
	store, err := record.Open(filepath.Join(f.stateDir, "inventory"))
	if err != nil {
		return err
	}
	defer store.Close()
	agent, err := reconcile.New(reconcile.Config{Node: node, Store: store, Sources: sources, Prune: prune, DeepLook: f.deepLook(), Allows: policy.Allows, Log: log})
	if err != nil {
		return err
	}
	if f.once {
		// What has nothing to keep leaves no keeper.
		return errors.Join(agent.RunOnce(ctx), node.Shutdown(context.WithoutCancel(ctx)))
	}
	return a.serve(ctx, f, grants, agent, node, log)
}

// deepLook is the interval as the loop takes it, where 0 is the default.
func (f agentFlags) deepLook() time.Duration {
	if f.drift <= 0 {
		return -1
	}
	return f.drift
}

func (f agentFlags) sources(policy *spec.NodePolicy) ([]reconcile.Source, error) {
	watch, err := source.ParseWatch(f.watch)
	if err != nil {
		return nil, err
	}
	signers, err := f.allowedSigners()
	if err != nil {
		return nil, err
	}
	var sources []reconcile.Source
	for _, path := range f.manifests {
		dir, err := source.New(path, source.Options{Owners: []uint32{f.manifestOwner}, Watch: watch, Decode: policy.Decode, Signers: signers})
		if err != nil {
			return nil, err
		}
		sources = append(sources, dir)
	}
	return sources, nil
}

// allowedSigners are those who may sign manifests; nil when no signatures are asked for.
func (f agentFlags) allowedSigners() (*signature.Signers, error) {
	if f.signers == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.signers)
	if err != nil {
		return nil, fmt.Errorf("cannot read allowed signers: %w", err)
	}
	return signature.ParseSigners(f.signers, text)
}

// serve runs API and loop side by side. The first to end ends the other.
func (a *app) serve(ctx context.Context, f agentFlags, grants api.Grants, agent *reconcile.Agent, node *machine.Node, log logr.Logger) error {
	listener, err := f.listen(a)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := grants.Share(listener.Addr().String()); err != nil {
		log.Error(err, "a grant is without effect")
	}
	config := api.Config{Agent: agent, Logs: nodeLogs{node.Node}, Node: node, Images: node, Version: buildInfo().Version, Grants: grants, Log: log}
	if f.audit {
		config.Audit = audit.Open(f.logDir, log)
		defer config.Audit.Close()
	}
	server := api.New(config)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make(chan error, 2)
	for _, part := range []func() error{
		func() error { return agent.Run(ctx) },
		func() error { return server.Serve(ctx, listener) },
	} {
		go func() {
			errs <- part()
			stop()
		}()
	}
	go supervise(ctx, agent, log)
	go reloads(ctx, log, func(ctx context.Context) error { return f.reload(ctx, agent) })
	log.Info("agent started", "manifests", fmt.Sprint(f.manifests), "socket", listener.Addr().String(), "pid", os.Getpid())
	<-ctx.Done()
	notify(log, "STOPPING=1")
	log.Info("agent ends; the containers stay")
	return errors.Join(<-errs, <-errs)
}

// reload is what SIGHUP asks for: to look at everything anew, now and trusting nothing that was read before.
func (f agentFlags) reload(ctx context.Context, agent *reconcile.Agent) error {
	return agent.Reread(ctx)
}

// listen takes the socket that systemd made, or makes it.
func (f agentFlags) listen(a *app) (net.Listener, error) {
	if listener, err := activated(); listener != nil || err != nil {
		return listener, err
	}
	path := filepath.Join(f.runDir, "reconciler.sock")
	if a.socket != "" {
		path = a.socket
	}
	return api.Listen(path)
}
