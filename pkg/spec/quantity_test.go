package spec_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestParseLimit(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "1": "1", "512": "512", "64Ki": "65536", "10M": "10000000", "1Gi": "1073741824", "1k": "1000", "2Ti": "2199023255552",
		"7Ei": "8070450532247928832", "9223372036854775807": "9223372036854775807", "max": "max",
	} {
		got, err := spec.ParseLimit(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "1000": "1000", "1024": "1Ki", "1536Ki": "1536Ki", "1024Mi": "1Gi", "5M": "5000000", "1Ei": "1Ei",
	} {
		got, err := spec.ParseBytes(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
}

func TestParseCores(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "2": "2", "1.5": "1.5", "1.50": "1.5", "1500m": "1.5", "500m": "0.5", "0.5m": "0.0005", "0.000001": "0.000001",
		"1000000": "1000000", "max": "max",
	} {
		got, err := spec.ParseCores(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0s", "500ms": "500ms", "30s": "30s", "60s": "1m", "90m": "1h30m", "10h": "10h", "3600s": "1h", "1h0m1s": "1h0m1s", "1.5s": "1.5s",
	} {
		got, err := spec.ParseDuration(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
}

// The errors of texts that only records and the API can carry; those of manifests are in testdata/broken.
func TestUnmarshalErrors(t *testing.T) {
	var q struct {
		Limit    spec.Limit    `json:"limit"`
		Bytes    spec.Bytes    `json:"bytes"`
		Cores    spec.Cores    `json:"cores"`
		Duration spec.Duration `json:"duration"`
	}
	for text, want := range map[string]string{
		`{"limit": 1.5}`:       `"1.5" is not a whole number`,
		`{"limit": 1e3}`:       `"1e3" has an unknown unit`,
		`{"limit": -1}`:        `"-1" is negative`,
		`{"limit": true}`:      `"true" is neither a text nor a number`,
		`{"limit": []}`:        `"[]" is neither a text nor a number`,
		`{"limit": ""}`:        `an empty text is not a number`,
		`{"bytes": "max"}`:     `"max" is not a number`,
		`{"cores": 1e-9}`:      `"1e-9" is not a number of processors such as 2, 1.5 or 500m, or max`,
		`{"cores": {"a": 1}}`:  `"{\"a\": 1}" is neither a text nor a number`,
		`{"duration": 30}`:     `"30" has no unit`,
		`{"duration": "+30s"}`: `"+30s" is not a length of time`,
		`{"duration": "-30s"}`: `"-30s" is negative`,
	} {
		err := json.Unmarshal([]byte(text), &q)
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if err := json.Unmarshal([]byte(`{"limit": null, "bytes": null, "cores": null, "duration": null}`), &q); err != nil {
		t.Error(err)
	}
	if !q.Limit.IsZero() || q.Bytes != 0 || !q.Cores.IsZero() || q.Duration != 0 {
		t.Errorf("null says %v", q)
	}
}

// A limit that no kernel can hold is no limit, and never wraps around to "not said".
func TestLimitEdges(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 1<<63 - 1: "9223372036854775807", 1 << 63: "max", 1<<64 - 2: "max", 1<<64 - 1: "max"} {
		if got := spec.NewLimit(n); got.String() != want || got.IsZero() {
			t.Errorf("NewLimit(%d) is %v, want %s", n, got, want)
		}
	}
	if got := spec.NewCores(1<<64 - 1); !got.IsMax() {
		t.Errorf("NewCores of the largest number is %v", got)
	}
	for _, l := range []spec.Limit{{}, spec.MaxLimit()} {
		if l.RoundDown(4096) != l {
			t.Errorf("%v rounds to %v", l, l.RoundDown(4096))
		}
	}
}

func ExampleLimit_RoundDown() {
	asked, _ := spec.ParseLimit("10M")
	fmt.Println(asked, asked.RoundDown(4096))
	// Output: 10000000 9998336
}

func ExampleParseCores() {
	c, err := spec.ParseCores("500m")
	fmt.Println(c, c.Micro(), err)
	_, err = spec.ParseCores("fast")
	fmt.Println(err)
	// Output:
	// 0.5 500000 <nil>
	// "fast" is not a number of processors such as 2, 1.5 or 500m, or max
}

func ExampleDuration() {
	fmt.Println(spec.Duration(90*time.Minute), spec.Duration(1500*time.Millisecond))
	// Output: 1h30m 1.5s
}

// quantityLaws checks that the canonical text of a quantity is stable, as text and as JSON.
func quantityLaws[T interface {
	comparable
	fmt.Stringer
}](t *testing.T, s string, parse func(string) (T, error)) {
	q, err := parse(s)
	if err != nil {
		if message := err.Error(); len(message) > 500 || strings.ContainsAny(message, "\n\x00\x1b") {
			t.Errorf("%q: message %q", s, message)
		}
		return
	}
	if again, err := parse(q.String()); err != nil || again != q {
		t.Errorf("%q is %v, which reads back as %v, %v", s, q, again, err)
	}
	data, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var again T
	if err := json.Unmarshal(data, &again); err != nil || again != q {
		t.Errorf("%q is %s, which reads back as %v, %v", s, data, again, err)
	}
}

func FuzzQuantity(f *testing.F) {
	for _, s := range []string{
		"", "0", "1", "-1", "max", "64Ki", "10M", "1.5", "500m", "1e3", "0x10", "007", "9223372036854775807", "9223372036854775808", "8Ei",
		"99999999999999999999", "1.0000001", "30s", "1h30m", "-5s", ".5", "5.", "NaN", "inf", "1_000", " 1", "1\n", "\x00", "١", "1µs",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quantityLaws(t, s, spec.ParseLimit)
		quantityLaws(t, s, spec.ParseBytes)
		quantityLaws(t, s, spec.ParseCores)
		quantityLaws(t, s, spec.ParseDuration)
	})
}
