package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed31d4122e/reconciler/internal/simnode"
	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
)

// loop is the agent's own loop on a machine in memory, which takes images, behind its own API.
type loop struct {
	t       *testing.T
	machine *simnode.Machine
	disk    *simnode.Disk
	folder  *simnode.Folder
	dir     string
	stop    func()
}

func newLoop(t *testing.T) *loop {
	dir, err := os.MkdirTemp("", "rloop")
	must(t, err)
	l := &loop{t: t, machine: simnode.New(), disk: simnode.NewDisk(), folder: simnode.NewFolder("main"), dir: dir}
	t.Cleanup(func() {
		l.stop()
		os.RemoveAll(dir)
	})
	l.start()
	return l
}

func (l *loop) socket() string { return filepath.Join(l.dir, "s") }

// start starts an agent that takes over what is there.
func (l *loop) start() {
	ctx, cancel := context.WithCancel(context.Background())
	node := l.machine.Attach(nil, func() {})
	agent, err := reconcile.New(reconcile.Config{
		Node: node, Store: l.disk.Store(node), Sources: []reconcile.Source{l.folder}, Prune: reconcile.PruneAlways, Log: logr.Discard(),
	})
	must(l.t, err)
	listener, err := api.Listen(l.socket())
	must(l.t, err)
	server := api.New(api.Config{Agent: agent, Logs: apitest.New(), Node: node, Log: logr.Discard()})
	done := make(chan error, 2)
	go func() { done <- agent.Run(ctx) }()
	go func() { done <- server.Serve(ctx, listener) }()
	l.stop = func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				l.t.Error(err)
			}
		}
	}
}

// TestLoopScripts runs testdata/loop: what a user types and sees of images when the real loop decides about them. Beside what testscript has, the
// scripts know
//
//	put FILE [AS], drop FILE     of the manifests
//	revision REV            what the manifests are called
//	restart                 another agent takes over
//	reboot                  the machine forgets what ran, and another agent takes over
//	damage NAME             the newest image of a container is damaged, and nobody knows
//	unable WHY, unsaved NAME, full    the node takes no images, not of a container, has no room for any
func TestLoopScripts(t *testing.T) {
	command := func(do func(*loop, *testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, _ bool, args []string) { do(ts.Value("loop").(*loop), ts, args) }
	}
	socket := func(env *testscript.Env) string {
		l := newLoop(t)
		env.Values["loop"] = l
		return l.socket()
	}
	testscript.RunT(sequential{t}, scripts("testdata/loop", socket, commands{
		"put": command(func(l *loop, ts *testscript.TestScript, args []string) {
			l.folder.Put(filepath.Base(args[len(args)-1]), ts.ReadFile(args[0]))
		}),
		"drop":     command(func(l *loop, _ *testscript.TestScript, args []string) { l.folder.Remove(args[0]) }),
		"revision": command(func(l *loop, _ *testscript.TestScript, args []string) { l.folder.Call(args[0]) }),
		"restart": command(func(l *loop, _ *testscript.TestScript, _ []string) {
			l.stop()
			l.start()
		}),
		"reboot": command(func(l *loop, _ *testscript.TestScript, _ []string) {
			l.stop()
			l.machine.Reboot()
			l.start()
		}),
		"damage":  command(func(l *loop, ts *testscript.TestScript, args []string) { ts.Check(l.machine.Damage(args[0], false)) }),
		"unable":  command(func(l *loop, _ *testscript.TestScript, args []string) { l.machine.Unable(args[0]) }),
		"unsaved": command(func(l *loop, _ *testscript.TestScript, args []string) { l.machine.Uncheckpointable(args[0], true) }),
		"full":    command(func(l *loop, _ *testscript.TestScript, _ []string) { l.machine.Full(true) }),
	}))
}
