package keeper_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed31d4122e/reconciler/pkg/linux/keeper"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestHeed(t *testing.T) {
	var (
		nothing = spec.Notified{Socket: true}
		ready   = spec.Notified{Socket: true, Started: true, Ready: true}
		away    = spec.Notified{Socket: true, Started: true}
		says    = func(n spec.Notified, status string) spec.Notified { n.Status = status; return n }
	)
	for _, c := range []struct {
		before  spec.Notified
		message string
		want    spec.Notified
	}{
		{nothing, "READY=1", ready},
		{nothing, "READY=1\n", ready},
		{nothing, "READY=1\x00", ready},
		{nothing, "READY=1\x00\x00", nothing},
		{nothing, "READY\x00=1\nREADY=1", nothing},
		{nothing, "READY=1\r\n", nothing},
		{nothing, " READY=1", nothing},
		{nothing, "READY=0", nothing},
		{nothing, "READY=10", nothing},
		{nothing, "ready=1", nothing},
		{nothing, "", nothing},
		{nothing, "\n\n\n", nothing},
		{nothing, "MAINPID=4711\nWATCHDOG=1\nFDSTORE=1\nBARRIER=1", nothing},
		{nothing, "STATUS=loading 3 of 5\nMONOTONIC_USEC=7\nREADY=1", says(ready, "loading 3 of 5")},
		{ready, "RELOADING=1\nMONOTONIC_USEC=7", away},
		{away, "READY=1", ready},
		{ready, "RELOADING=1\nREADY=1", ready},
		{nothing, "RELOADING=1", nothing},
		{ready, "STOPPING=1", away},
		{ready, "STOPPING=1\nREADY=1", away},
		{says(ready, "old"), "STATUS=", ready},
		{says(ready, "old"), "STATUS=new\nSTATUS=newer", says(ready, "new")},
		{says(ready, "old"), "WATCHDOG=1", says(ready, "old")},
		{nothing, "STATUS=\x1b[2J\u202e\xff\ttab", says(nothing, "?[2J???tab")},
		{nothing, "\x80\xff\xfe", nothing},
	} {
		if got := keeper.Heed(c.before, []byte(c.message)); got != c.want {
			t.Errorf("%+v hears %q: got %+v, want %+v", c.before, c.message, got, c.want)
		}
	}
}

// A long status is cut where a letter ends.
func TestHeedLong(t *testing.T) {
	got := keeper.Heed(spec.Notified{}, []byte("STATUS=x"+strings.Repeat("ü", 30<<10))).Status
	if len(got) > 256 || len(got) < 250 || !utf8.ValidString(got) || strings.Contains(got, "?") {
		t.Errorf("got %d bytes: %q", len(got), got)
	}
}

func FuzzHeed(f *testing.F) {
	for _, seed := range []string{"READY=1", "STATUS=\xff\nRELOADING=1\x00", "STOPPING=1\n\nREADY=1"} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, message []byte, ready bool) {
		before := spec.Notified{Socket: true, Started: ready, Ready: ready}
		got := keeper.Heed(before, message)
		switch {
		case !got.Socket, got.Ready && !got.Started, before.Started && !got.Started:
			t.Errorf("from %+v comes %+v", before, got)
		case len(got.Status) > 256 || !utf8.ValidString(got.Status) || strings.ContainsAny(got.Status, "\x00\n\x1b"):
			t.Errorf("status %q", got.Status)
		}
	})
}
