package log_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

// follow gives what a follower reads now.
func follow(t *testing.T, f *log.Follower, last bool) (texts []string, lost int64) {
	t.Helper()
	err := f.Read(last, func(l log.Line) bool {
		if l.Removed {
			lost += l.Dropped
			return true
		}
		texts = append(texts, string(l.Text))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts, lost
}

func wantTexts(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// A follower that ends anywhere has a successor that gives every line that it has not given, over the ends of segments.
func TestFollowerGoesOn(t *testing.T) {
	p := newTap(t, log.Limits{MaxSize: 4 << 10, MaxFiles: 100})
	var want []string
	for i := range 400 {
		line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i%70))
		want = append(want, line)
		stream := log.Stdout
		if i%3 == 0 {
			stream = log.Stderr
		}
		p.say(first, stream, line+"\n")
	}
	place := log.Place{}
	var got []string
	for n := 1; len(got) < len(want); n++ {
		f := log.NewFollower(p.dir, place)
		next, taken := log.Place{}, 0
		err := f.Read(false, func(l log.Line) bool {
			switch {
			case taken < n:
				got = append(got, string(l.Text))
				taken++
			case next == log.Place{}:
				next = l.At // who has it not goes on here
			}
			return taken < n
		})
		if err != nil {
			t.Fatal(err)
		}
		if place = f.Place(); next != (log.Place{}) {
			place = next
		}
		f.Close()
	}
	wantTexts(t, "all lines", got, want...)
}

// An unfinished line keeps the place of a successor in front of it.
func TestFollowerUnfinished(t *testing.T) {
	p := newTap(t, log.Limits{})
	f := log.NewFollower(p.dir, log.Place{})
	defer f.Close()
	p.say(first, log.Stdout, "begun")
	got, _ := follow(t, f, false)
	wantTexts(t, "an unfinished line", got)
	if f.Place().Offset != 0 {
		t.Errorf("place %v is behind it", f.Place())
	}
	if f.Grown() {
		t.Error("it has grown without being written to")
	}
	p.say(first, log.Stdout, ", ended\nmore")
	if !f.Grown() {
		t.Error("it has not grown")
	}
	got, _ = follow(t, f, false)
	wantTexts(t, "a line", got, "begun, ended")
	got, _ = follow(t, f, true)
	wantTexts(t, "the last", got, "more")
}

// A line that does not end is given up when much has come since, and who wants no more gets the rest of a piece and then goes on.
func TestFollowerGivesUp(t *testing.T) {
	p := newTap(t, log.Limits{})
	p.say(first, log.Stderr, "prompt> ")
	f := log.NewFollower(p.dir, log.Place{})
	defer f.Close()
	want := []string{"prompt> "}
	for i := range 40 {
		line := strings.Repeat(string(rune('a'+i%26)), 10_000)
		want = append(want, line)
		p.say(first, log.Stdout, line+"\n")
	}
	var got []string
	for range 1000 {
		if err := f.Read(false, func(l log.Line) bool {
			got = append(got, string(l.Text))
			return false
		}); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d lines, want %d", len(got), len(want))
	}
	if at := f.Place(); at.Offset != 8+40*10_001 {
		t.Errorf("place %v", at)
	}
}

// What is removed before it is read is counted, and what is read can be removed.
func TestFollowerLoses(t *testing.T) {
	p := newTap(t, log.Limits{MaxSize: 4 << 10, MaxFiles: 2})
	f := log.NewFollower(p.dir, log.Place{})
	defer f.Close()
	f.Passed = func() { f.Remove(f.Place().Segment) }
	p.say(first, log.Stdout, "first\n")
	got, lost := follow(t, f, false)
	if wantTexts(t, "before", got, "first"); lost != 0 {
		t.Errorf("lost %d", lost)
	}
	written := int64(0)
	for i := range 1000 {
		line := fmt.Sprintf("line %d\n", i)
		written += int64(len(line))
		p.say(first, log.Stdout, line)
		if i%100 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	got, lost = follow(t, f, false)
	read := int64(0)
	for _, text := range got {
		read += int64(len(text)) + 1
	}
	if got[len(got)-1] != "line 999" || lost < (written-read)/2 || lost > 2*(written-read) {
		t.Errorf("last %q, lost %d of %d with %d read", got[len(got)-1], lost, written, read)
	}
	files, _ := filepath.Glob(filepath.Join(p.dir, "*.log"))
	if len(files) != 1 {
		t.Errorf("left: %v", files)
	}
	p.say(first, log.Stdout, "the writer goes on\n")
	got, _ = follow(t, f, false)
	wantTexts(t, "after", got, "the writer goes on")
}

// A place in a log that is not there any more is its beginning.
func TestFollowerOtherLog(t *testing.T) {
	p := newTap(t, log.Limits{})
	p.say(first, log.Stdout, "new\n")
	f := log.NewFollower(p.dir, log.Place{Segment: 7, Offset: 100})
	defer f.Close()
	got, _ := follow(t, f, false)
	wantTexts(t, "another log", got, "new")
	none := log.NewFollower(filepath.Join(t.TempDir(), "none"), log.Place{})
	defer none.Close()
	if got, lost := follow(t, none, false); len(got) > 0 || lost > 0 {
		t.Errorf("no log: %q, %d", got, lost)
	}
}

func TestSincePlace(t *testing.T) {
	p := newTap(t, log.Limits{})
	p.say(first, log.Stdout, "old\n")
	time.Sleep(5 * time.Millisecond)
	between := time.Now()
	time.Sleep(5 * time.Millisecond)
	if at, err := log.Since(p.dir, between); err != nil || at != (log.Place{Segment: 1, Offset: 4}) {
		t.Errorf("nothing so new: %v, %v", at, err)
	}
	p.say(first, log.Stdout, "new\n")
	at, err := log.Since(p.dir, between)
	if err != nil {
		t.Fatal(err)
	}
	f := log.NewFollower(p.dir, at)
	defer f.Close()
	got, _ := follow(t, f, false)
	wantTexts(t, "since", got, "new")
	if at, err := log.Since(filepath.Join(p.dir, "none"), between); err != nil || at != (log.Place{}) {
		t.Errorf("no log: %v, %v", at, err)
	}
}

// Until ends what is read, and whoever follows.
func TestUntil(t *testing.T) {
	p := newTap(t, log.Limits{})
	p.say(first, log.Stdout, "one\n")
	time.Sleep(5 * time.Millisecond)
	p.say(first, log.Stdout, "two\n")
	time.Sleep(5 * time.Millisecond)
	between := time.Now()
	time.Sleep(5 * time.Millisecond)
	p.say(first, log.Stdout, "three\n")
	p.want(log.Options{Until: between}, "o:one", "o:two")
	p.want(log.Options{Until: between, Tail: 1}, "o:two")
	p.want(log.Options{Until: time.Now().Add(50 * time.Millisecond), Follow: true}, "o:one", "o:two", "o:three")
}
