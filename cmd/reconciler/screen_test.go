package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// terminal is a screen that claims to be a terminal of a width.
func terminal(width int) (*screen, *bytes.Buffer) {
	var b bytes.Buffer
	return &screen{Writer: &b, terminal: true, width: width}, &b
}

func TestTableFitsTheTerminal(t *testing.T) {
	for width := 20; width <= 120; width += 10 {
		s, out := terminal(width)
		tab := newTable("NAME", "PHASE", "MESSAGE")
		tab.add(cell{text: "web"}, cell{text: "Running", colour: green}, cell{text: strings.Repeat("long ", 30)})
		tab.add(cell{text: strings.Repeat("n", 63)}, cell{text: "BackOff"}, cell{text: ""})
		tab.draw(s)
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > max(width, 3*minColumn+2*columnGap) {
				t.Errorf("width %d: a line of %d: %q", width, n, line)
			}
		}
	}
}

func TestTableOfAWatchGrows(t *testing.T) {
	s, out := terminal(80)
	tab := newTable("NAME", "MESSAGE")
	tab.add(cell{text: "web"}, cell{})
	tab.draw(s)
	tab.add(cell{text: "web"}, cell{text: "process exited with code 4"})
	tab.draw(s)
	if want := "NAME  MESSAGE\nweb\nweb   process exited with code 4\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestTableIsWholeWhenPiped(t *testing.T) {
	var out bytes.Buffer
	tab := newTable("NAME", "MESSAGE")
	long := strings.Repeat("x", 500)
	tab.add(cell{text: "web", colour: green}, cell{text: long})
	tab.draw(newScreen(&out))
	if !strings.Contains(out.String(), long) || strings.Contains(out.String(), "\x1b") {
		t.Errorf("cut or coloured: %q", out.String())
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":             "plain",
		"größe 漢字":          "größe 漢字",
		"a\nb":              "a\nb",
		"\x1b[31mred":       `\x1b[31mred`,
		"\r\x00\x7f":        `\r\x00\x7f`,
		"safe\u202egpj.exe": `safe\u202egpj.exe`,
		"bad\xffbyte":       "bad�byte",
		"\u009b31m":         `\u009b31m`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q): got %q, want %q", in, got, want)
		}
	}
}

func TestLogScreen(t *testing.T) {
	const in = "ok \x1b[1;32mgreen\x1b[0m\ttab\r\n\x1b]0;title\x07 \x1b[2J wiped größe\n"
	const want = "ok \x1b[1;32mgreen\x1b[0m    tab\r\n\\x1b]0;title\\a \\x1b[2J wiped größe\n"
	for size := range len(in) {
		var out bytes.Buffer
		l := &logScreen{out: &out}
		for rest := in; rest != ""; {
			n := min(size+1, len(rest))
			if _, err := l.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if got := strings.ReplaceAll(out.String(), "\t", "    "); got != want {
			t.Fatalf("in pieces of %d: got %q, want %q", size+1, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:                 "0s",
		59 * time.Second:             "59s",
		61 * time.Second:             "1m1s",
		5 * time.Minute:              "5m",
		11*time.Minute + time.Second: "11m",
		3*time.Hour + 4*time.Minute:  "3h4m",
		49 * time.Hour:               "2d1h",
		240 * time.Hour:              "10d",
		10000 * time.Hour:            "416d",
		23*time.Hour + 59*time.Minute + 59*time.Second: "23h59m",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v): got %s, want %s", d, got, want)
		}
	}
}
