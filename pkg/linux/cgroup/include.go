package cgroup

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// include takes the group, with the processes it has, into the hierarchies and under the controllers that limits need and that it has
// not got yet.
func (g *Group) include(r spec.Resources) error {
	for _, b := range g.parent.bounds() {
		if b.err == nil && b.optional() && b.said(&r) {
			if err := g.includeIn(b.controller); err != nil {
				return err
			}
		}
	}
	for file := range r.Unified {
		if c, ok := controllerOf(prefix(file)); ok && c.optional {
			if err := g.includeIn(c.name); err != nil {
				return err
			}
		}
	}
	return nil
}

// includeIn takes the group under one optional controller.
func (g *Group) includeIn(name string) error {
	c, _ := controllerOf(name)
	if h, ok := g.parent.hierarchyOf(c.v1); ok {
		return g.includeV1(h)
	}
	has, err := g.parent.unified.read(g.path + "/cgroup.controllers")
	if err != nil || slices.Contains(strings.Fields(has), name) {
		return err
	}
	return g.handDown(name)
}

func (g *Group) includeV1(h hierarchy) error {
	if dir, err := h.sub(g.path); err == nil {
		return dir.dir.Close()
	}
	if !g.Exists() {
		return &fs.PathError{Op: "open", Path: g.Path(), Err: unix.ENOENT}
	}
	if err := errors.Join(h.mkdir(path.Dir(g.path)), h.mkdir(g.path)); err != nil {
		return err
	}
	return g.moveAll(h)
}

// moveRounds bounds how often new processes are looked for: each round catches the children of what the one before did not move.
const moveRounds = 100

// stillness is how long the processes of a group may take to stand still.
const stillness = 10 * time.Second

// moveAll moves every process of the group in one v1 hierarchy. The two lists of a round are read one after the other, so that where
// processes come and go all the time each round finds some that are in one of them only: then the group stands still for a moment.
func (g *Group) moveAll(h hierarchy) error {
	err := g.moveFound(h)
	if !errors.Is(err, unix.EAGAIN) {
		return err
	}
	if frozen, err := g.Freezing(); err != nil || frozen {
		return errors.Join(err, unix.EAGAIN)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stillness)
	defer cancel()
	if err := g.Freeze(ctx); err != nil {
		return err
	}
	return errors.Join(g.moveFound(h), g.Thaw(ctx))
}

// moveFound moves what it finds until it finds no more, or EAGAIN.
func (g *Group) moveFound(h hierarchy) error {
	for range moveRounds {
		pids, err := g.Procs()
		if err != nil {
			return err
		}
		there, err := h.read(g.path + "/cgroup.procs")
		if err != nil {
			return err
		}
		moved := strings.Fields(there)
		pids = slices.DeleteFunc(pids, func(pid int) bool { return slices.Contains(moved, strconv.Itoa(pid)) })
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			err := h.write(g.path+"/cgroup.procs", strconv.Itoa(pid))
			if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
				return err
			}
		}
	}
	return unix.EAGAIN
}
