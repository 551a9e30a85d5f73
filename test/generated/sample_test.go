package generated

import (
	"math/rand/v2"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/test/generated/orders"
)

// sample is a generated configuration, with what it needs outside and what to look at inside. Paths in it are relative to the bundle.
type sample struct {
	*machine
	dice   dice
	config *specs.Spec
	orders orders.Orders

	ownUser, ownNet, ownIPC, ownUTS, ownPID bool // namespaces of its own

	callNames []string // system calls that no rule is about yet
}

// newSample generates one. The same seed and number give the same on the same machine.
func newSample(m *machine, seed, number uint64) *sample {
	s := &sample{machine: m, dice: dice{rand.New(rand.NewPCG(seed, number))}}
	s.config = &specs.Spec{Version: "1.0.2", Linux: &specs.Linux{}, Process: &specs.Process{}}
	s.orders.Namespaces = m.namespaces
	s.namespaces() // others depend on them
	s.process()
	s.root()
	s.places()
	s.devices()
	s.sysctls()
	s.resources()
	s.filter()
	return s
}

// dice decide.
type dice struct{ *rand.Rand }

// percent is true so often.
func (d dice) percent(n int) bool { return d.IntN(100) < n }

// between is one of lo to hi.
func (d dice) between(lo, hi int) int { return lo + d.IntN(hi-lo+1) }

// pick is one of them.
func pick[T any](d dice, all ...T) T { return all[d.IntN(len(all))] }

// some are as many as there are with a chance each, in their order.
func some[T any](d dice, percent int, all ...T) (list []T) {
	for _, v := range all {
		if d.percent(percent) {
			list = append(list, v)
		}
	}
	return list
}

// shuffled are all in another order.
func shuffled[T any](d dice, all []T) []T {
	d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}
