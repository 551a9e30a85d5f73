package seccomp

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// maxCached bounds the filters kept; a node has few profiles, but those of a hostile writer would have no end.
const maxCached = 64

// Cache keeps the filters of this machine that were asked for last; the zero value is ready, for many goroutines. Filters
// it returns are shared: do not change them.
type Cache struct {
	mu    sync.Mutex
	plans map[key]*cached
	clock uint64
}

// key is what a plan is made from, beside the machine.
type key struct {
	kind     spec.SeccompMode
	profile  [sha256.Size]byte // of the text; zero for the default policy
	bounding capability.Set    // zero where it does not matter
}

type cached struct {
	plan Plan
	used uint64 // by the clock
}

// For is the plan that a manifest asks for, for a container with that bounding set. A profile's file is read each time. Errors
// name the file and the place in it; they are fs.ErrInvalid for a wrong profile, and those of opening a file.
func (c *Cache) For(s spec.Security, bounding capability.Set) (Plan, error) {
	switch s.Seccomp {
	case spec.SeccompUnconfined:
		return Plan{}, nil
	case spec.SeccompDefault, "":
		return c.Default(bounding)
	case spec.SeccompByProfile:
		if s.SeccompProfileFile != "" {
			return c.file(s.SeccompProfileFile, bounding)
		}
		return c.profile(s.SeccompProfile)
	}
	return Plan{}, fmt.Errorf("cannot filter system calls: unknown mode %q: %w", s.Seccomp, fs.ErrInvalid)
}

// Default is the Default policy's plan for a bounding set.
func (c *Cache) Default(bounding capability.Set) (Plan, error) {
	return c.get(key{kind: spec.SeccompDefault, bounding: bounding}, func() (Plan, error) {
		f, err := Compile(Default(bounding), Native())
		return Plan{Filter: f, Flags: unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW}, err
	})
}

func (c *Cache) profile(p spec.SeccompProfile) (Plan, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return Plan{}, err
	}
	return c.get(key{kind: spec.SeccompByProfile, profile: sha256.Sum256(text)}, func() (Plan, error) { return NewPlan(p) })
}

func (c *Cache) file(path string, bounding capability.Set) (Plan, error) {
	text, err := readFile(path)
	if err != nil {
		return Plan{}, err
	}
	// The kind keeps a file apart from an inline profile of the same text, which has no places.
	k := key{kind: "File", profile: sha256.Sum256(text), bounding: bounding}
	return c.get(k, func() (Plan, error) {
		f, problems := spec.DecodeSeccomp(path, text)
		if problems != nil {
			return Plan{}, brokenFile{problems}
		}
		place, err := Here(bounding)
		if err != nil {
			return Plan{}, err
		}
		p, err := Resolve(f, place)
		if err != nil {
			return Plan{}, fmt.Errorf("cannot use the seccomp profile %s: %w", path, err)
		}
		plan, err := NewPlan(p)
		if err != nil {
			return Plan{}, fmt.Errorf("%s: %w", path, err)
		}
		return plan, nil
	})
}

// brokenFile is the problems of a profile's file as an error that is fs.ErrInvalid.
type brokenFile struct{ spec.Problems }

// Error names the file on each line.
func (e brokenFile) Error() string { return "cannot use the seccomp profile: " + e.Problems.Error() }

// Is makes it fs.ErrInvalid.
func (brokenFile) Is(target error) bool { return target == fs.ErrInvalid }

// get makes a plan unless it is there. A failure is not kept. Who asks meanwhile waits: it takes about a millisecond.
func (c *Cache) get(k key, fresh func() (Plan, error)) (Plan, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	if known, ok := c.plans[k]; ok {
		known.used = c.clock
		return known.plan, nil
	}
	plan, err := fresh()
	if err != nil {
		return Plan{}, err
	}
	if c.plans == nil {
		c.plans = make(map[key]*cached)
	}
	if len(c.plans) >= maxCached {
		c.forget()
	}
	c.plans[k] = &cached{plan, c.clock}
	return plan, nil
}

// forget drops the plan that was not asked for the longest.
func (c *Cache) forget() {
	var oldest key
	for k, v := range c.plans {
		if o, ok := c.plans[oldest]; !ok || v.used < o.used {
			oldest = k
		}
	}
	delete(c.plans, oldest)
}
