package simnode

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
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
	// Chances in a thousand, for each call.
	Error, LateError, Death, Delay, Break, Image int
}

// NewFaults makes faults from a seed, at usual rates.
func NewFaults(seed uint64) *Faults {
	return &Faults{seed: seed, calls: map[string]uint64{}, Error: 80, LateError: 40, Death: 8, Delay: 100, Break: 50, Image: 250}
}

// Off ends all faults.
func (f *Faults) Off() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
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
