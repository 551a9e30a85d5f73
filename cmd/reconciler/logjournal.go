package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/journal"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
)

// isJournal tells whether what is written goes to the journal: its device and inode are those of $JOURNAL_STREAM, see systemd.exec(5).
func (s *screen) isJournal() bool {
	f, ok := s.Writer.(*os.File)
	if !ok {
		return false
	}
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return err == nil && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journalPatience is how long a line waits for the journal. One that the journal does not take goes to standard error, and so do those of the next
// journalPause, which do not wait: the loop says a line for each thing that it does.
const (
	journalPatience = 100 * time.Millisecond
	journalPause    = time.Second
)

// journalHandler writes entries with fields: the sentence for people as MESSAGE, each attribute as RECONCILER_KEY.
type journalHandler struct {
	*peopleHandler
	conn *journal.Conn
	busy *atomic.Int64 // until when the journal is left alone, in nanoseconds since 1970; of all that come from one handler
}

func newJournalHandler(people *peopleHandler) *journalHandler {
	return &journalHandler{people, journal.Dial(journal.Socket), new(atomic.Int64)}
}

// WithAttrs adds attributes to every entry.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journalHandler{h.peopleHandler.WithAttrs(attrs).(*peopleHandler), h.conn, h.busy}
}

// WithGroup leaves groups out: keys are unique.
func (h *journalHandler) WithGroup(string) slog.Handler { return h }

// Enabled is always true: see Handle.
func (h *journalHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes one entry. Events are there without --verbose: whoever reads a journal chooses by fields.
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	if !h.peopleHandler.Enabled(ctx, r.Level) && r.Message != reconcile.EventMessage {
		return nil
	}
	if h.send(h.entry(r)) {
		return nil
	}
	if !h.peopleHandler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.peopleHandler.Handle(ctx, r)
}

// send tells whether the journal has an entry.
func (h *journalHandler) send(entry []byte) bool {
	if time.Now().UnixNano() < h.busy.Load() {
		return false
	}
	err := h.conn.Send(entry, journalPatience)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		h.busy.Store(time.Now().Add(journalPause).UnixNano())
	}
	return err == nil
}

// entry is a record as the journal takes it.
func (h *journalHandler) entry(r slog.Record) []byte {
	text, attrs, order := h.words(r)
	level := priority(r.Level)
	if r.Message == reconcile.EventMessage {
		said := slices.DeleteFunc([]string{attrs["name"], attrs["reason"], attrs["message"]}, func(s string) bool { return s == "" })
		text, level = strings.Join(said, ": "), journal.PriorityNotice
		if attrs["warning"] != "" {
			level = journal.PriorityWarning
		}
	}
	entry := journal.Append(nil, "MESSAGE", []byte(text))
	entry = journal.AppendFields(entry,
		journal.Field{Name: "PRIORITY", Value: level}, journal.Field{Name: "SYSLOG_IDENTIFIER", Value: "reconciler"},
		journal.Field{Name: "RECONCILER_COMPONENT", Value: "agent"}) // a container may be called reconciler, and then its identifier is that
	if r.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		entry = journal.AppendFields(entry, journal.Field{Name: "CODE_FILE", Value: frame.File}, journal.Field{Name: "CODE_LINE", Value: strconv.Itoa(frame.Line)}, journal.Field{Name: "CODE_FUNC", Value: frame.Function})
	}
	for _, key := range order {
		entry = journal.AppendFields(entry, journal.Field{Name: journalName(key), Value: attrs[key]})
	}
	return entry
}

// journalName is the field of an attribute: RECONCILER_CONTAINER is the name of the container it is about.
func journalName(key string) string {
	if key == "name" {
		key = "container"
	}
	return journal.FieldName("RECONCILER_", key)
}

func priority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return journal.PriorityError
	case level >= slog.LevelWarn:
		return journal.PriorityWarning
	case level >= slog.LevelInfo:
		return journal.PriorityInfo
	}
	return journal.PriorityDebug
}

// words are what a record says: as a sentence, with a hint on a line of its own, and by key.
func (h *peopleHandler) words(r slog.Record) (text string, attrs map[string]string, order []string) {
	attrs, order = h.collect(r)
	left := maps.Clone(attrs)
	plain := *h
	plain.screen = &screen{}
	text, hint, _ := strings.Cut(plain.sentence(r, left), hintMark)
	for _, key := range order {
		if value, more := left[key]; more {
			text += "  " + key + "=" + quoteSpaces(clean(value))
		}
	}
	if hint != "" {
		text += "\nhint: " + clean(hint)
	}
	return text, attrs, order
}
