package reconcile

import (
	"fmt"
	"testing"
	"time"
)

// Looks of many names, each of which takes a while: none comes later than its interval unless that would take more of the time than looks may, and wake-ups are few.
func TestPace(t *testing.T) {
	for _, row := range []struct {
		names int
		look  time.Duration
		late  time.Duration // by which a look may be after its time
	}{
		{1, time.Millisecond, 0}, {500, 200 * time.Microsecond, 0}, {500, 500 * time.Microsecond, 30 * time.Second}, {500, time.Millisecond, 50 * time.Second}, {3000, time.Millisecond, 10 * time.Minute}, {2, 10 * time.Second, 2 * time.Minute},
	} {
		t.Run(fmt.Sprint(row.names, " of ", row.look), func(t *testing.T) {
			p := pace{every: time.Minute}
			start := time.Unix(0, 0)
			due := make([]time.Time, row.names)
			for i := range due {
				due[i] = start.Add(time.Minute/2 + time.Minute/2*time.Duration(i)/time.Duration(row.names))
			}
			looked, now, rounds := time.Duration(0), start, 0
			for ; now.Sub(start) < time.Hour; rounds++ {
				next := time.Time{}
				for _, d := range due {
					if at := p.at(d, false); next.IsZero() || at.Before(next) {
						next = at
					}
				}
				now = next
				began, looks := now, 0
				for i, d := range due { // any order will do: who is left is due first next time
					if !p.takes(d, false, began) {
						continue
					}
					if late := now.Sub(d); late > row.late+row.look*time.Duration(looks+1) {
						t.Fatalf("%v after the start a look is %v late", now.Sub(start), late)
					}
					now = now.Add(row.look)
					looked += row.look
					due[i] = now.Add(time.Minute)
					if looks++; p.ends(began, now) {
						break
					}
				}
				p.note(began, now, looks)
			}
			if most := now.Sub(start)/share + row.look*2; looked > most && row.look < time.Second {
				t.Errorf("looks took %v in %v, want %v at most", looked, now.Sub(start), most)
			}
			if rounds > 61*gatherings {
				t.Errorf("%d rounds in an hour", rounds)
			}
		})
	}
}

// Who is hurried waits neither for a round nor for its end, but for its own time.
func TestPaceOfHurried(t *testing.T) {
	now := time.Unix(100, 0)
	p := pace{every: time.Minute}
	p.note(now.Add(-20*time.Millisecond), now, 20) // a round of a millisecond each: the next is 4 seconds away
	for _, row := range []struct {
		due, now time.Duration
		hurried  bool
		takes    bool
	}{
		{0, time.Second, false, false},
		{0, 4 * time.Second, false, true},
		{14 * time.Second, 4 * time.Second, false, true},
		{14100 * time.Millisecond, 4 * time.Second, false, false},
		{0, 100 * time.Millisecond, true, false},
		{0, 200 * time.Millisecond, true, true},
		{time.Second, 900 * time.Millisecond, true, false},
		{time.Second, time.Second, true, true},
		{5 * time.Second, 4 * time.Second, true, false},
	} {
		if got := p.takes(now.Add(row.due), row.hurried, now.Add(row.now)); got != row.takes {
			t.Errorf("due in %v, hurried %v, after %v: %v", row.due, row.hurried, row.now, got)
		}
	}
	if !p.ends(now.Add(time.Second), now.Add(time.Second)) {
		t.Error("a round of who is hurried goes on")
	}
	p.note(now.Add(time.Second), now.Add(1010*time.Millisecond), 1)
	if want := now.Add(3980*time.Millisecond + 2*time.Second); !p.rest.Equal(want) {
		t.Errorf("what they took counts: the next round is at %v, want %v", p.rest, want)
	}
}
