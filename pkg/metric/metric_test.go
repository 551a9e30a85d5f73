package metric_test

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/exposition"
	"github.com/seed31d4122e/reconciler/pkg/metric"
)

func Example() {
	var failed metric.Counts
	failed.With("Start").Add(2)
	took := metric.NewSpread(.1, 1)
	took.Observe(.05)
	took.Observe(.5)
	var t metric.Text
	t.Begin("failed_total", metric.Counter, "What failed.", "verb")
	t.Counts(&failed)
	t.Begin("took_seconds", metric.Histogram, "How long it took.")
	t.Spread(took)
	fmt.Print(string(t.Bytes))
	// Output:
	// # HELP failed_total What failed.
	// # TYPE failed_total counter
	// failed_total{verb="Start"} 2
	// # HELP took_seconds How long it took.
	// # TYPE took_seconds histogram
	// took_seconds_bucket{le="0.1"} 1
	// took_seconds_bucket{le="1"} 2
	// took_seconds_bucket{le="+Inf"} 2
	// took_seconds_sum 0.55
	// took_seconds_count 2
}

// Any text and any number come back as they were, a bound belongs to its bucket, and nothing counted at one time by many is lost.
func TestText(t *testing.T) {
	var text metric.Text
	texts := []string{"", `a\b`, "a\nb", `a"b`, `\n`, "ü", "a,b={}"}
	numbers := []float64{0, 1, -1, .1, 1e-9, 1 << 60, 1e300, math.MaxUint64, math.Inf(1)}
	text.Begin("texts", metric.Gauge, "a\\b\nc", "of")
	for i, label := range texts {
		text.Sample(float64(i), label)
	}
	text.Begin("numbers", metric.Gauge, "x", "i")
	for i, v := range numbers {
		text.Sample(v, fmt.Sprint(i))
	}
	spread := metric.NewSpread(1, 2)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				spread.Observe(1)
				spread.Observe(3)
			}
		})
	}
	all.Wait()
	text.Begin("spread", metric.Histogram, "x")
	text.Spread(spread)
	families, err := exposition.Parse(string(text.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	for i, label := range texts {
		if v, ok := families["texts"].Value("of", label); !ok || v != float64(i) {
			t.Errorf("%q is %v (there: %t)", label, v, ok)
		}
	}
	for i, want := range numbers {
		if v, ok := families["numbers"].Value("i", fmt.Sprint(i)); !ok || v != want {
			t.Errorf("%v is %v (there: %t)", want, v, ok)
		}
	}
	var got []float64
	for _, s := range families["spread"].Samples {
		got = append(got, s.Value)
	}
	if want := []float64{8000, 8000, 16000, 32000, 16000}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
