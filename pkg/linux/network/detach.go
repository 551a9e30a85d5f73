package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
)

// Detach takes a name off its bridge, with its ports; the name keeps its address. A bridge of ours that nothing is plugged into goes
// too. A name that is not attached is no error.
func (n *Node) Detach(ctx context.Context, name string) error { return n.leave(ctx, name, false) }

// Forget is Detach of a name that will not come back: its address is free.
func (n *Node) Forget(ctx context.Context, name string) error { return n.leave(ctx, name, true) }

// leave closes a name's ports, takes its pair of links away and then what nobody needs. The kernel takes a hundred times longer to take
// a link away than to make one, so that is done without the lock.
func (n *Node) leave(ctx context.Context, name string, forget bool) error {
	index, err := n.close(ctx, name, forget)
	if err == nil && index != 0 {
		err = n.unplug(index)
	}
	if err == nil {
		err = n.clear()
	}
	if err != nil {
		return fmt.Errorf("cannot detach %q from the network: %w", name, err)
	}
	return nil
}

// close takes a name's ports, or all it has, out of the state and the rules; index is that of its link, 0 when there is none.
func (n *Node) close(ctx context.Context, name string, forget bool) (index int, err error) {
	host, end, err := n.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	link, err := host.Link(LinkName(name))
	if err == nil && link.Group == Group {
		index = link.Index
	} else if err != nil && !netlink.IsAbsent(err) {
		return 0, err
	}
	had, known := n.state.Names[name]
	if !known {
		return index, nil
	}
	s := n.state.clone()
	if had.Ports = nil; forget {
		delete(s.Names, name)
	} else {
		s.Names[name] = had
	}
	return index, n.move(host, s)
}

func (n *Node) unplug(index int) error {
	host, err := n.dial()
	if err != nil {
		return err
	}
	defer host.Close()
	return host.Delete(index)
}

// clear is tidy with the lock.
func (n *Node) clear() error {
	host, end, err := n.begin(context.Background())
	if err != nil {
		return err
	}
	defer end()
	return n.tidy(host)
}

// tidy takes away what no name needs: bridges, rules, and what is remembered of them.
func (n *Node) tidy(host *netlink.Conn) error {
	needed := map[string]bool{}
	for _, h := range n.state.Names {
		needed[h.Bridge] = true
	}
	s := n.state.clone()
	var errs []error
	for name := range n.state.Bridges {
		errs = append(errs, n.dropBridge(host, name))
		if !needed[name] {
			if _, err := host.Link(name); netlink.IsAbsent(err) {
				delete(s.Bridges, name)
			}
		}
	}
	return errors.Join(append(errs, n.change(s), n.apply(host))...)
}

// Prune forgets every name but those given, and takes away every link of ours that belongs to none of them: what a crash left.
func (n *Node) Prune(ctx context.Context, keep []string) error {
	host, end, err := n.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	links, err := host.Links()
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, name := range keep {
		kept[LinkName(name)] = true
	}
	var errs []error
	for _, l := range links {
		if l.Group == Group && l.Kind == "veth" && !kept[l.Name] {
			errs = append(errs, host.Delete(l.Index))
		}
	}
	s := n.state.clone()
	maps.DeleteFunc(s.Names, func(name string, _ held) bool { return !slices.Contains(keep, name) })
	n.state = s
	if err := errors.Join(append(errs, n.tidy(host))...); err != nil {
		return fmt.Errorf("cannot take away what is left of networks: %w", err)
	}
	return nil
}
