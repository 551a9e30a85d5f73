package simnode_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// deed is one thing that happens in a simulation, and the time after it. It is all data, so that a script of deeds can be printed, cut and played
// again: what is random about a deed comes from its own Roll, so that the others mean what they meant when one is left out.
type deed struct {
	Do   string // of the table deeds
	Name string
	Roll uint64
	Wait time.Duration
}

func (d deed) String() string { return fmt.Sprintf("%s %s %d %s", d.Do, d.Name, d.Roll, d.Wait) }

// compose makes a script from a seed.
func compose(seed uint64, steps int) []deed {
	r := rand.New(rand.NewPCG(seed, 1))
	script := make([]deed, steps)
	for i := range script {
		script[i] = deed{choose(r), names[r.IntN(len(names))], uint64(r.IntN(10_000)), waits[r.IntN(len(waits))]}
	}
	return script
}

var waits = []time.Duration{0, 0, 30 * time.Millisecond, time.Second, 5 * time.Second, 40 * time.Second}

// choose is a deed by the weights of the table.
func choose(r *rand.Rand) string {
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	pick := r.IntN(total)
	for _, do := range slices.Sorted(maps.Keys(deeds)) {
		if pick -= deeds[do].weight; pick < 0 {
			return do
		}
	}
	return ""
}

// printed is a script as parse reads it: a seed, on which the faults depend, and a deed a line.
func printed(seed uint64, script []deed) string {
	lines := []string{fmt.Sprintf("seed %d", seed)}
	for _, d := range script {
		lines = append(lines, d.String())
	}
	return strings.Join(lines, "\n") + "\n"
}

// parse reads a script. Lines that begin with # are comments.
func parse(text string) (seed uint64, script []deed, err error) {
	for line := range strings.Lines(text) {
		var d deed
		var wait string
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
			continue
		case strings.HasPrefix(line, "seed "):
			_, err = fmt.Sscanf(line, "seed %d", &seed)
		default:
			if _, err = fmt.Sscanf(line, "%s %s %d %s", &d.Do, &d.Name, &d.Roll, &wait); err == nil {
				d.Wait, err = time.ParseDuration(wait)
			}
			script = append(script, d)
		}
		if err == nil && d.Do != "" && deeds[d.Do].do == nil {
			err = fmt.Errorf("no deed %q", d.Do)
		}
		if err != nil {
			return 0, nil, fmt.Errorf("cannot read %q: %w", line, err)
		}
	}
	return seed, script, nil
}
