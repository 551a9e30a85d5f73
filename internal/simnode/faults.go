package simnode

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// errFault is the error of faults.
var errFault = errors.New("a fault of the simulation")

// Faults decides from a seed which calls go wrong, and how. The fate of the n-th call of a verb on a name depends on
// nothing else, so runs can be repeated. A nil Faults never does anything.
type Faults struct {
	seed  uint64
	mu    sync.Mutex
	calls map[string]uint64
	off   bool
	told  []Point // all calls, if they are recorded
	at    Point   // the one call that goes wrong, if that was said
	// Chances in a thousand, for each call.
	Error, LateError, Death, Delay, Break, Image int
}

// NewFaults makes faults from a seed that is not 0, at usual rates.
func NewFaults(seed uint64) *Faults {
	return &Faults{seed: seed, calls: map[string]uint64{}, Error: 80, LateError: 40, Death: 8, Delay: 100, Break: 50, Image: 250}
}

// Off ends all faults, or lets them go on.
func (f *Faults) Off(off bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = off
}

// Point is one call, the n-th of a verb on a name, and what happens there: the agent dies before it or after, or it leaves an instance half-made.
type Point struct {
	Verb, Name   string
	Call         uint64
	After, Halfs bool
}

// At makes faults of one death at one point; at none for the zero one.
func At(p Point) *Faults { return &Faults{calls: map[string]uint64{}, at: p} }

// Calls are all calls there were, as points before them.
func (f *Faults) Calls() []Point {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.told)
}

// fateAt is that of a call when only one goes wrong.
func (f *Faults) fateAt(call Point) (fate fate) {
	f.told = append(f.told, call)
	call.After, call.Halfs = f.at.After, f.at.Halfs
	switch {
	case call != f.at:
	case f.at.Halfs:
		fate.breaks, fate.after = true, faultDeath
	case f.at.After:
		fate.after = faultDeath
	default:
		fate.before = faultDeath
	}
	return fate
}

type fault int

const (
	faultNone fault = iota
	faultError
	faultDeath
)

// fate is what happens to one call.
type fate struct {
	before, after fault
	delay         time.Duration
	breaks        bool
	image         imageFault
}

// imageFault is what goes wrong with an image while it is taken.
type imageFault int

const (
	imageSound    imageFault = iota
	imageFull                // there is no room
	imageRefused             // something in it cannot be saved
	imageUncut               // it is complete, but what was to end with it runs on
	imageDamaged             // nobody knows yet that it is of no use
	imagePoisoned            // what is restored from it ends soon
	imageFaults
)

func (f *Faults) next(verb, name string) (fate fate) {
	if f == nil {
		return fate
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		return fate
	}
	key := verb + " " + name
	f.calls[key]++
	if f.seed == 0 {
		return f.fateAt(Point{Verb: verb, Name: name, Call: f.calls[key]})
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", f.seed, key, f.calls[key])
	r := rand.New(rand.NewPCG(h.Sum64(), f.seed))
	chance := func(permille int) bool { return r.IntN(1000) < permille }
	if chance(f.Delay) {
		fate.delay = time.Duration(r.IntN(3000)) * time.Millisecond
	}
	switch {
	case chance(f.Error):
		fate.before = faultError
	case chance(f.Death):
		fate.before = faultDeath
	case chance(f.LateError):
		fate.after = faultError
	case chance(f.Death):
		fate.after = faultDeath
	}
	fate.breaks = chance(f.Break)
	if chance(f.Image) {
		fate.image = imageFault(r.IntN(int(imageFaults)))
	}
	return fate
}
