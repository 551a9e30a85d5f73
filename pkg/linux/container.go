package linux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"os"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Container is one container of a node, for programs that lead its life by themselves: Node's verbs without the numbers of instances. It is
// a name and nothing more: what is asked of it is asked of the kernel, it need not be closed, and a program that is started anew has it
// again from Load. Its methods may be called from many goroutines: those that change the container wait for each other.
//
// Once the container is destroyed every method but Destroy, Logs and Events says fs.ErrNotExist; see the package for the errors of all.
type Container struct {
	node *Node
	name string
	id   uint64
}

// New makes a container without a process from what the manifest of one would say, defaults included. Only apiVersion and kind may be missing. The
// error is fs.ErrInvalid, with all spec.Problems, of a spec that no manifest may have; fs.ErrExist of a name that is taken; and
// errors.ErrUnsupported of what this node lacks. After an error nothing is left.
//
// restart, state and dependencies are words for whoever decides: the node keeps them and does nothing about them.
func (n *Node) New(ctx context.Context, c spec.Container) (_ *Container, err error) {
	name := c.Metadata.Name
	c.APIVersion, c.Kind = cmp.Or(c.APIVersion, spec.APIVersion), cmp.Or(c.Kind, spec.KindContainer)
	if err := c.Check(); err != nil {
		return nil, about("create", name, &classed{err, fs.ErrInvalid})
	}
	done, err := n.turns.take(ctx, name)
	if err != nil {
		return nil, about("create", name, err)
	}
	defer done()
	ids, err := n.instances(name)
	if err != nil {
		return nil, about("create", name, err)
	}
	if len(ids) > 0 {
		return nil, about("create", name, fmt.Errorf("there is a container of this name: %w\nhint: Load and Destroy it, or take another name", fs.ErrExist))
	}
	if err := n.Create(ctx, c, 1, spec.DefaultsVersion); err != nil {
		return nil, err
	}
	return &Container{n, name, 1}, nil
}

// Run makes a container and starts it. Of one that cannot be started nothing is left.
func (n *Node) Run(ctx context.Context, c spec.Container) (*Container, error) {
	made, err := n.New(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := made.Start(ctx); err != nil {
		return nil, errors.Join(err, made.Destroy(context.WithoutCancel(ctx)))
	}
	return made, nil
}

// Load finds a container that was made earlier, perhaps by a process before this one: the newest instance of the name. It is fs.ErrNotExist if
// there is none, and no error if it is Broken: it can still be destroyed.
func (n *Node) Load(ctx context.Context, name string) (*Container, error) {
	all, err := n.ObserveOne(ctx, name)
	if err == nil && len(all) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, about("load", name, err)
	}
	return &Container{n, name, all[len(all)-1].ID}, nil
}

// Containers are all containers of the node, by name; of each name the newest instance.
func (n *Node) Containers(ctx context.Context) ([]*Container, error) {
	all, err := n.Observe(ctx)
	if err != nil {
		return nil, err
	}
	var containers []*Container
	for i, in := range all {
		if i+1 == len(all) || all[i+1].Name != in.Name {
			containers = append(containers, &Container{n, in.Name, in.ID})
		}
	}
	return containers, nil
}

// Name is the container's name, unique on the node.
func (c *Container) Name() string { return c.name }

// Instance is the number of this incarnation of the name, as Node's own verbs want it.
func (c *Container) Instance() uint64 { return c.id }

// String is NAME/INSTANCE.
func (c *Container) String() string { return fmt.Sprintf("%s/%d", c.name, c.id) }

// State shows the container as the kernel has it now: phase, process, exit, limits. fs.ErrNotExist if nothing of it is left.
func (c *Container) State(ctx context.Context) (spec.Instance, error) {
	all, err := c.node.ObserveOne(ctx, c.name)
	if err != nil {
		return spec.Instance{}, err
	}
	i := slices.IndexFunc(all, func(in spec.Instance) bool { return in.ID == c.id })
	if i < 0 {
		return spec.Instance{}, about("observe", c.name, fs.ErrNotExist)
	}
	return all[i], nil
}

// Start starts the command, also again after it has ended; one that runs already is left alone. It returns when the command is executed: one that
// cannot be is an error of Start, spec.ErrCommandNotFound or spec.ErrCommandNotExecutable. Of a step before that errors.As finds the *process.Error.
func (c *Container) Start(ctx context.Context) error {
	return c.turn(ctx, func() error { return ofCommand(c.node.Start(ctx, c.name, c.id)) })
}

// StartWith is Start with files that the command finds as its descriptors 3, 4 and so on, such as listening sockets: a program that understands
// sd_listen_fds(3) is told of them by LISTEN_FDS and LISTEN_PID=1 in spec.Env. They stay the caller's to close. A later start does not
// have them, whoever asks for it; nor does one that was under way already.
func (c *Container) StartWith(ctx context.Context, files ...*os.File) error {
	return c.turn(ctx, func() error { return ofCommand(c.node.start(ctx, c.name, c.id, files)) })
}

// Signal sends a signal by its name, "SIGHUP", to process 1; SIGKILL kills every process of the container. One that has ended is no error.
// As in every pid namespace, process 1 gets no signal that it does not handle, but SIGKILL.
func (c *Container) Signal(ctx context.Context, signal string) error {
	return c.node.Kill(ctx, c.name, c.id, signal)
}

// Stop ends the container as its spec says: by stop.signal, default SIGTERM, and after stop.timeout, default 30s, by SIGKILL; it waits for the
// end. Both happen whatever becomes of ctx and this program. One that has ended already is no error; one that was never started is
// spec.ErrNotRunning.
func (c *Container) Stop(ctx context.Context) (spec.Exit, error) {
	err := c.turn(ctx, func() error {
		in, err := c.node.known(c.name, c.id)
		if err != nil {
			return about("stop", c.name, err)
		}
		stop := spec.Defaulted(in.Spec, in.Defaults).Spec.Stop
		return c.node.Stop(ctx, c.name, c.id, stop.Signal, time.Duration(stop.Timeout))
	})
	if err != nil {
		return spec.Exit{}, err
	}
	return c.Wait(ctx)
}

// Pause freezes every process of the container and returns when they have stopped; Resume thaws them. Pause of one that has no process is
// spec.ErrNotRunning.
func (c *Container) Pause(ctx context.Context) error {
	return c.turn(ctx, func() error { return c.node.Pause(ctx, c.name, c.id) })
}

// Resume thaws the container; one that is not frozen is no error.
func (c *Container) Resume(ctx context.Context) error {
	return c.turn(ctx, func() error { return c.node.Resume(ctx, c.name, c.id) })
}

// Update changes what the spec says of live fields, such as the limits of resources, without touching the process. change gets what is
// said now. The error is fs.ErrInvalid when it has changed another field, or to what no manifest may say; nothing is changed then.
func (c *Container) Update(ctx context.Context, change func(*spec.ContainerSpec)) error {
	return c.turn(ctx, func() error {
		in, err := c.node.known(c.name, c.id)
		if err != nil {
			return about("update", c.name, err)
		}
		change(&in.Spec.Spec)
		if err := in.Spec.Check(); err != nil {
			return about("update", c.name, &classed{err, fs.ErrInvalid})
		}
		return c.node.Update(ctx, in.Spec, c.id)
	})
}

// Configure gives the container configs that its spec uses, by spec.ConfigUse.Project: files that it sees at once, and variables from its next start on. A
// container that uses configs is not started before it was given all of them.
func (c *Container) Configure(ctx context.Context, configs ...spec.Projection) error {
	return c.turn(ctx, func() error { return c.node.Configure(ctx, c.name, c.id, configs) })
}

// Destroy kills what runs and removes every trace: processes, cgroups, mounts, namespaces, layers and output. One that is gone is no error.
func (c *Container) Destroy(ctx context.Context) error {
	return c.turn(ctx, func() error { return c.node.Destroy(ctx, c.name, c.id, false) })
}

// Stats is what the container uses and has used, also after its end; units are the kernel's, see spec.Stats.
func (c *Container) Stats(ctx context.Context) (spec.Stats, error) {
	return c.node.Stats(ctx, c.name, c.id)
}

// Processes are those of the container, by their number on the node; none is no error.
func (c *Container) Processes(ctx context.Context) ([]spec.Process, error) {
	return c.node.Processes(ctx, c.name, c.id)
}

// Dial opens a connection of TCP from inside the container's network, whichever that is, to an address and port in digits: no process is started for
// it. ctx bounds the opening alone. A container that is paused or has no process is spec.ErrNotRunning.
func (c *Container) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.node.Dial(ctx, c.name, c.id, network, address)
}

// Events gives hints about the container until ctx ends: its exit, kills for want of memory, freezes, and the pressure its spec asks to be told
// of. spec.EventLost says that hints may be missing: look at State.
func (c *Container) Events(ctx context.Context) (<-chan spec.Event, error) {
	all, err := c.node.Events(ctx)
	if err != nil {
		return nil, err
	}
	events := make(chan spec.Event, hintBuffer)
	go func() { // ends with all, and so with ctx
		defer close(events)
		for event := range all {
			if event.Name == c.name || event.Name == "" {
				offer(events, event)
			}
		}
	}()
	return events, nil
}

// Logs gives the lines of output of all runs of the name; see log.Options for which, and for following what comes.
func (c *Container) Logs(ctx context.Context, o log.Options) iter.Seq2[log.Line, error] {
	return log.Read(ctx, c.node.LogDir(c.name), o)
}

// turn does something to the container while no other goroutine does.
func (c *Container) turn(ctx context.Context, do func() error) error {
	done, err := c.node.turns.take(ctx, c.name)
	if err != nil {
		return fmt.Errorf("cannot wait for other changes of %q: %w", c.name, err)
	}
	defer done()
	return do()
}
