package client_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// used is an agent with web and db, which use something, and one container without an instance.
func used() *apitest.Agent {
	agent := apitest.New()
	for name, usec := range map[string]uint64{"web": 5, "db": 7} {
		o := object(name, spec.PhaseRunning)
		o.Status.Container.Instance = 3
		agent.Put(o)
		agent.SetStats(spec.Stats{Name: name, Instance: 3, CPU: &spec.CPUStats{UsageUsec: usec}}, spec.Process{Pid: 100, ContainerPid: 1, Comm: "sh\x1b"})
	}
	agent.Put(object("pending", spec.PhasePending))
	return agent
}

func names(l api.StatsList) (list []string) {
	for _, s := range l.Items {
		list = append(list, s.Name)
	}
	return list
}

func TestStats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, used())
	c := client.New(path)
	if s, err := c.Stats(t.Context(), "web"); err != nil || s.Name != "web" || s.Instance != 3 || s.CPU == nil || s.CPU.UsageUsec != 5 || s.Memory != nil {
		t.Errorf("Stats: %+v, %v", s, err)
	}
	if p, err := c.Processes(t.Context(), "web"); err != nil || len(p) != 1 || p[0].ContainerPid != 1 || p[0].Comm != "sh\x1b" {
		t.Errorf("Processes: %+v, %v", p, err)
	}
	if l, err := c.AllStats(t.Context()); err != nil || !slices.Equal(names(l), []string{"db", "web"}) || l.Kind != api.KindStatsList {
		t.Errorf("AllStats: %+v, %v", l, err)
	}
	if l, err := c.AllStats(t.Context(), "web"); err != nil || !slices.Equal(names(l), []string{"web"}) {
		t.Errorf("AllStats of one: %+v, %v", l, err)
	}
	if _, err := c.AllStats(t.Context(), "web", "nope"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("AllStats of nobody: %v", err)
	}
	if _, err := c.Stats(t.Context(), "pending"); !errors.Is(err, api.ErrConflict) {
		t.Errorf("Stats without an instance: %v", err)
	}
}

// A watch goes on over a restart of the agent, and shows what is there then.
func TestWatchStats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	agent := used()
	stop := serve(t, path, agent)
	c := client.New(path)
	for l, err := range c.WatchStats(t.Context(), time.Nanosecond) {
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("an interval of a nanosecond: %+v, %v", l, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	for l, err := range c.WatchStats(ctx, api.ShortestInterval) {
		if err != nil {
			t.Fatal(err)
		}
		switch seen++; seen {
		case 1:
			if !slices.Equal(names(l), []string{"db", "web"}) {
				t.Fatalf("got %v", names(l))
			}
		case 2:
			stop()
			agent.Remove("db")
			serve(t, path, agent)
		default:
			if slices.Equal(names(l), []string{"web"}) {
				return
			}
		}
	}
}

func TestWatchStatsOfNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, used())
	c := client.New(path)
	ended := 0
	for _, err := range c.WatchStats(t.Context(), time.Second, "nope") {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
		ended++
	}
	for _, err := range client.New(path+"-none").WatchStats(t.Context(), time.Second) {
		if !errors.Is(err, client.ErrNotRunning) {
			t.Errorf("got %v", err)
		}
		ended++
	}
	if ended != 2 {
		t.Errorf("%d errors, want 2", ended)
	}
}
