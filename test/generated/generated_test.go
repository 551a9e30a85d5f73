package generated

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%s is no number", name, text)
	}
	return n
}

// What is seen from inside and outside of the containers of COUNT generated configurations is the same with runc and with this runtime. SEED and
// FIRST choose others; the long campaigns choose a seed by themselves.
func TestGenerated(t *testing.T) {
	w := newWorld(t)
	seed, first, count := uint64(1), setting(t, "FIRST", 0), uint64(100)
	if os.Getenv("RECONCILER_SOAK") != "" {
		seed, count = rand.Uint64N(1<<32), 3000
	}
	seed, count = setting(t, "SEED", seed), setting(t, "COUNT", count)
	t.Logf("SEED=%d COUNT=%d", seed, count)
	var agreed, refused atomic.Int64
	t.Run("samples", func(t *testing.T) {
		for n := first; n < first+count; n++ {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				s := newSample(w.machine, seed, n)
				theirs, ours := w.run(t, n, w.runtimes[0], s), w.run(t, n, w.runtimes[1], s)
				switch {
				case theirs.seen == nil && ours.seen == nil:
					t.Logf("both refuse it:\n%s%s", theirs.messages, ours.messages)
					refused.Add(1)
				case theirs.seen == nil:
					t.Logf("only runc refuses it:\n%s", theirs.messages)
					refused.Add(1)
				case ours.seen == nil:
					t.Errorf("only ours refuses it:\n%s", ours.messages)
				default:
					for _, difference := range compare(s, theirs.seen, ours.seen) {
						t.Error(difference)
					}
					agreed.Add(int64(len(theirs.seen)))
				}
				if t.Failed() || os.Getenv("SHOW") != "" {
					text, _ := json.MarshalIndent(s.config, "", " ")
					t.Logf("reproduce with SEED=%d FIRST=%d COUNT=1\n%s", seed, n, text)
				}
			})
		}
	})
	t.Logf("%d observations compared; %d of %d configurations refused by runc", agreed.Load(), refused.Load(), count)
	if refused.Load()*10 > int64(count) {
		t.Errorf("runc refuses too many: the generator does not know this machine")
	}
}

// compare tells what differs, and still does without what the table of differences is about.
func compare(s *sample, theirs, ours map[string]string) (list []string) {
	keys := slices.Sorted(maps.Keys(theirs))
	for key := range ours {
		if _, ok := theirs[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		a, b := theirs[key], ours[key]
		if a == b {
			continue
		}
		plainA, plainB := a, b
		for _, d := range differences {
			if strings.HasPrefix(key, d.prefix) {
				plainA, plainB = d.plain(s, key, plainA), d.plain(s, key, plainB)
			}
		}
		if plainA != plainB {
			list = append(list, fmt.Sprintf("%s\n    runc: %s\n    ours: %s", key, cmp.Or(a, "nothing"), cmp.Or(b, "nothing")))
		}
	}
	return list
}
