package main

import (
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/linux/journal"
)

// A journal that takes nothing holds one line up, not each: the others go to standard error at once, and come back when the pause is over.
func TestJournalStuck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	stuck, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	var people strings.Builder
	h := &journalHandler{&peopleHandler{screen: &screen{Writer: &people}, level: slog.LevelInfo, mu: &sync.Mutex{}}, journal.Dial(path), new(atomic.Int64)}
	log := logr.FromSlogHandler(h).WithValues("name", "web") // a handler of its own, with the same journal
	for h.busy.Load() == 0 {
		log.Info("fills the queue")
	}
	if !strings.Contains(people.String(), "fills the queue") {
		t.Error("what the journal did not take is nowhere")
	}
	read := func() string {
		buffer := make([]byte, 1<<16)
		_ = stuck.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, _ := stuck.Read(buffer)
		return string(buffer[:n])
	}
	for read() != "" {
	}
	h.busy.Store(time.Now().Add(time.Hour).UnixNano())
	people.Reset()
	log.Info("in the pause")
	if got := read(); got != "" || !strings.Contains(people.String(), "in the pause") {
		t.Errorf("the journal has %q, standard error %q", got, people.String())
	}
	h.busy.Store(1)
	people.Reset()
	log.Info("after it")
	if got := read(); !strings.Contains(got, "MESSAGE=web: after it") || !strings.Contains(got, "RECONCILER_COMPONENT=agent\n") || people.Len() > 0 {
		t.Errorf("the journal has %q, standard error %q", got, people.String())
	}
}
