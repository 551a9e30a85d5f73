package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// look is a list of containers that have used so much in so many seconds.
func look(second int, names ...string) api.StatsList {
	var l api.StatsList
	for i, name := range names {
		n := uint64(second * (i + 1))
		l.Items = append(l.Items, spec.Stats{
			Name: name, Instance: 1, Time: time.Unix(int64(second), 0),
			CPU:      &spec.CPUStats{UsageUsec: n * 500_000},
			Memory:   &spec.MemoryStats{Current: 3 << 20, InactiveFile: 1 << 20, Max: spec.NewLimit(4 << 20)},
			Pids:     &spec.PidsStats{Current: uint64(10 - i)},
			Network:  []spec.InterfaceStats{{Name: "lo", RxBytes: 1 << 40 * n}, {Name: "eth0", RxBytes: 2048 * n, TxBytes: 1024 * n}},
			IO:       []spec.DeviceStats{{RBytes: 100 * n, WBytes: 1 << 20 * n}, {RBytes: 23 * n}},
			Pressure: &spec.PressureStats{CPU: spec.PSI{Some: spec.PSILine{Avg10: 12.4}}},
		})
	}
	return l
}

// newTopOn is a top that draws on a screen.
func newTopOn(s *screen) *top {
	return &top{app: &app{out: s, err: s}, format: &format{word: "table"}, order: &format{word: "cpu"}}
}

func TestTopShowsRates(t *testing.T) {
	var out bytes.Buffer
	top := newTopOn(newScreen(&out))
	bare := spec.Stats{Name: "bare", Instance: 1, Time: time.Unix(10, 0)}
	list := look(10, "web", "db")
	list.Items = append(list.Items, bare)
	must(t, top.draw(samplesOf(list, byName(look(8, "web", "db")))))
	want := `NAME  CPU%   MEMORY/LIMIT  MEM%  PIDS  NET RX/TX    IO R/W     PSI C/M/I
db    100.0  2.0Mi/4.0Mi   50.0  9     4.0Ki/2.0Ki  246/2.0Mi  12/0/0
web   50.0   2.0Mi/4.0Mi   50.0  10    2.0Ki/1.0Ki  123/1.0Mi  12/0/0
bare  -      -             -     -     -            -          -
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// What has no look before it, or one at another instance, has no rates; a counter that began anew has grown from nothing.
func TestSamples(t *testing.T) {
	now := look(10, "web").Items[0]
	other := look(8, "web").Items[0]
	other.Instance = 2
	for name, before := range map[string]spec.Stats{"nothing": {}, "another instance": other, "the same moment": now} {
		if s := sampleOf(before, now); s.rated || s.cpu != 0 || s.rx != 0 {
			t.Errorf("after %s: %+v", name, s)
		}
	}
	reset := look(8, "web").Items[0]
	reset.CPU.UsageUsec = 1 << 40
	if s := sampleOf(reset, now); s.cpu != 250 {
		t.Errorf("after a counter began anew: %v %%", s.cpu)
	}
}

func TestTopSorts(t *testing.T) {
	samples := samplesOf(look(10, "a", "b", "c"), byName(look(8, "a", "b", "c")))
	for by, want := range map[string][]string{
		"cpu": {"c", "b", "a"}, "memory": {"a", "b", "c"}, "pids": {"a", "b", "c"}, "net": {"c", "b", "a"}, "io": {"c", "b", "a"}, "name": {"a", "b", "c"},
	} {
		sortSamples(samples, by)
		var got []string
		for _, s := range samples {
			got = append(got, s.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %s: got %v, want %v", by, got, want)
		}
	}
	if len(orders) != len(orderWords) {
		t.Errorf("%d orders, %d words for them", len(orders), len(orderWords))
	}
}

// Every terminal gets lines that fit, with the name and what it uses of the processor whatever its width.
func TestTopFits(t *testing.T) {
	for width := 30; width <= 130; width += 5 {
		s, out := terminal(width)
		top := newTopOn(s)
		list := look(10, "web", strings.Repeat("n", 63), "x\x1b[2J")
		must(t, top.draw(samplesOf(list, byName(look(8, "web")))))
		text := out.String()
		if !strings.HasPrefix(text, cursorHome) || !strings.HasSuffix(text, eraseBelow) {
			t.Errorf("width %d: it does not take the place of what was before: %q", width, text)
		}
		text = strings.NewReplacer(cursorHome, "", eraseLine, "", eraseBelow, "").Replace(text)
		if strings.Contains(text, "\x1b") || !strings.Contains(text, "NAME") || !strings.Contains(text, "50.0") {
			t.Errorf("width %d: %q", width, text)
		}
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("width %d: a line of %d: %q", width, n, line)
			}
		}
	}
}

func TestSizeText(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0", 999: "999", 1000: "1.0Ki", 1536: "1.5Ki", 102300: "99.9Ki", 102400: "100Ki", 1 << 20: "1.0Mi", 1023 << 20: "1.0Gi", 64 << 30: "64.0Gi", 1 << 63: "8.0Ei",
	} {
		if got := sizeText(n); got != want {
			t.Errorf("%.0f: got %s, want %s", n, got, want)
		}
	}
}

// What processes call themselves cannot reach the terminal.
func TestCommandText(t *testing.T) {
	s, out := terminal(200)
	tab := newTable("COMMAND")
	for _, p := range []spec.Process{
		{Comm: "kworker\x1b[31m"}, {Comm: "sh", Command: []string{"sh", "-c", "echo \x1b]0;x\x07 a"}}, {Command: []string{"a\nb", "\u202e"}},
	} {
		tab.add(cell{text: commandText(p)})
	}
	tab.draw(s)
	if text := out.String(); strings.ContainsAny(text, "\x1b\x07\u202e") || strings.Count(text, "\n") != 4 || !strings.Contains(text, `[kworker\x1b[31m]`) {
		t.Errorf("got %q", text)
	}
	if got := fmt.Sprint(clockText(1_234_567), " ", clockText(80_000_000), " ", clockText(1<<63)); got != "1.23s 1m20s 104249d" {
		t.Errorf("got %s", got)
	}
}
