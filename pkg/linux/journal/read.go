package journal

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

// The field of a line's own time, and how it is written: RFC 3339 in UTC with nanoseconds.
const (
	fieldTime  = "SYSLOG_TIMESTAMP"
	timeFormat = "2006-01-02T15:04:05.000000000Z"
)

// Program reads the journal.
const Program = "journalctl"

// maxField bounds what is read of one field.
const maxField = 1 << 20

// ErrNoJournalctl is why output that went to the journal cannot be read.
var ErrNoJournalctl = errors.New("there is no " + Program + " on this node\nhint: install systemd's " + Program + ", or say logs.driver: Both")

// Reader reads what a Forwarder has written of one container.
type Reader struct {
	Command []string // journalctl, with arguments in front of ours
	Dir     string   // of the container's log
	Current log.Run  // the latest start, for Previous
	Senders Senders  // who is believed
}

func (r Reader) command() []string {
	if len(r.Command) > 0 {
		return r.Command
	}
	return []string{Program}
}

// Check tells whether there is a program to read with: else it is ErrNoJournalctl.
func (r Reader) Check() error {
	if _, err := exec.LookPath(r.command()[0]); err != nil {
		return ErrNoJournalctl
	}
	return nil
}

// Read is log.Read of the journal. Until, Since and Tail go by the time of the line in the container.
func (r Reader) Read(ctx context.Context, o log.Options) iter.Seq2[log.Line, error] {
	return func(yield func(log.Line, error) bool) {
		if o.Previous {
			run, err := r.previous(ctx)
			if err != nil {
				yield(log.Line{}, err)
				return
			}
			if run == (log.Run{}) {
				return
			}
			r.read(ctx, o, &run, yield)
			return
		}
		r.read(ctx, o, nil, yield)
	}
}

// position is where in the journal to read, by its cursors; zero: from its beginning, or from Since.
type position struct {
	from string // this entry is the first
	to   string // and this the last; "" for the end, where who follows goes on
}

// arguments ask for the lines of options, or some more.
func (r Reader) arguments(o log.Options, run *log.Run, at position) []string {
	args := []string{"--quiet", "--no-pager", "--all", "--output=export", "--output-fields=" + strings.Join([]string{
		"MESSAGE", fieldCgroup, fieldTime, fieldStream, fieldInstance, fieldStart, fieldAt, fieldPartial, fieldDropped,
	}, ",")}
	switch {
	case at.from != "":
		args = append(args, "--cursor="+at.from)
	case !o.Since.IsZero(): // an entry is never older than its line
		args = append(args, "--since=@"+strconv.FormatInt(o.Since.Unix(), 10))
	}
	if o.Follow {
		args = append(args, "--no-tail", "--follow")
	}
	args = append(args, fieldLog+"="+r.Dir, "_UID="+strconv.Itoa(os.Geteuid()))
	if o.Stream != 0 {
		args = append(args, fieldStream+"="+o.Stream.String())
	}
	if run != nil {
		args = append(args, fieldInstance+"="+strconv.FormatUint(run.Instance, 10), fieldStart+"="+strconv.FormatUint(uint64(run.Start), 10))
	}
	return args
}

// backwards are the arguments that ask for the same lines, the last one first. journalctl takes no --since beside a cursor.
func (r Reader) backwards(o log.Options, run *log.Run, at position) []string {
	o.Since, o.Follow = time.Time{}, false
	return append(r.arguments(o, run, at), "--reverse")
}

// read gives the lines of a run, or of all.
func (r Reader) read(ctx context.Context, o log.Options, run *log.Run, yield func(log.Line, error) bool) {
	o.Follow = o.Follow && !o.Previous && (o.Until.IsZero() || o.Until.After(time.Now()))
	if o.Follow && !o.Until.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, o.Until.Add(lastPause))
		defer stop()
	}
	wanted := true
	err := r.lines(ctx, o, run, func(l log.Line) bool {
		wanted = yield(l, nil)
		return wanted
	})
	if err != nil && wanted && ctx.Err() == nil {
		yield(log.Line{}, fmt.Errorf("cannot read the journal: %w", err))
	}
}

// lines gives the lines of options once each, in order, until visit returns false.
func (r Reader) lines(ctx context.Context, o log.Options, run *log.Run, visit func(log.Line) bool) error {
	var at position
	if o.Tail > 0 {
		var err error
		if at, err = r.tail(ctx, o, run); err != nil || at.from == "" && !o.Follow {
			return err
		}
	}
	var s said
	end := limit{until: o.Until}
	return r.entries(ctx, r.arguments(o, run, at), func(e entry) bool {
		if !s.again(&e.Line) && !e.Time.Before(o.Since) && !end.after(e.Line) && !visit(e.Line) {
			return false
		}
		return !end.reached && (e.cursor != at.to || at.to == "")
	})
}

// tail finds where the last lines of options begin, and where they end unless one follows: nothing of them is kept in memory, however many they are.
func (r Reader) tail(ctx context.Context, o log.Options, run *log.Run) (at position, err error) {
	last := position{}
	if !o.Until.IsZero() && !o.Follow {
		if last.from, err = r.behind(ctx, o, run); err != nil {
			return at, err
		}
	}
	s, left := said{backwards: true}, o.Tail
	err = r.entries(ctx, r.backwards(o, run, last), func(e entry) bool {
		if at.to == "" && !o.Follow {
			at.to = e.cursor
		}
		switch {
		case e.sent.Before(o.Since):
			return false
		case s.again(&e.Line), e.Time.Before(o.Since), !o.Until.IsZero() && e.Time.After(o.Until):
			return true
		}
		at.from = e.cursor
		left--
		return left > 0
	})
	return at, err
}

// behind finds an entry behind which no line is as old as Until; none if the journal ends before.
func (r Reader) behind(ctx context.Context, o log.Options, run *log.Run) (cursor string, err error) {
	end := limit{until: o.Until}
	o.Since = o.Until
	err = r.entries(ctx, r.arguments(o, run, position{}), func(e entry) bool {
		end.after(e.Line)
		if end.reached {
			cursor = e.cursor
		}
		return !end.reached
	})
	return cursor, err
}

// farBehind is how many bytes behind a line there can be no other that began before it: see log.Follower.
const farBehind = 512 << 10

// limit knows when nothing comes any more that is as old as Until.
type limit struct {
	until   time.Time
	first   log.Place // that is newer
	reached bool
}

// after tells whether a line is newer than the limit, and with those that are so far behind reaches it.
func (b *limit) after(l log.Line) bool {
	if b.until.IsZero() || !l.Time.After(b.until) {
		return false
	}
	if b.first == (log.Place{}) || l.At.Before(b.first) {
		b.first = l.At
	}
	b.reached = l.At.Segment > b.first.Segment+1 || l.At.Segment == b.first.Segment && l.At.Offset-b.first.Offset > farBehind
	return true
}

// previous is the run before the current one; none if the journal knows of none.
func (r Reader) previous(ctx context.Context) (run log.Run, err error) {
	err = r.entries(ctx, r.backwards(log.Options{}, nil, position{}), func(e entry) bool {
		if e.Run == r.Current || e.Run == (log.Run{}) {
			return true
		}
		run = e.Run
		return false
	})
	return run, err
}

// entry is an entry of the journal.
type entry struct {
	log.Line
	cursor string
	sent   time.Time // to the journal
	cgroup string    // of the sender, "" if the journal does not say
}

// entries gives what journalctl prints until visit returns false.
func (r Reader) entries(ctx context.Context, args []string, visit func(entry) bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	command := r.command()
	cmd := exec.CommandContext(ctx, command[0], slices.Concat(command[1:], args)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	enough, err := parse(out, func(e entry) bool { return !r.Senders.believes(e.cgroup) || visit(e) })
	if err != nil || enough {
		stop()
		out.Close() // and what it started does not wait for us
	}
	if failed := cmd.Wait(); err == nil && !enough && failed != nil {
		err = fmt.Errorf("%w: %s", failed, bytes.TrimSpace(complaint.Bytes()))
	}
	return err
}

// parse reads entries in the export format until visit wants no more: https://systemd.io/JOURNAL_EXPORT_FORMATS/
func parse(r io.Reader, visit func(entry) bool) (enough bool, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var e entry
	there := false
	for {
		name, value, err := field(in)
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		case name != "":
			take(&e, name, value)
			there = true
			continue
		case there:
			if e.Stream == 0 {
				e.Stream = log.Stdout
			}
			if !visit(e) {
				return true, nil
			}
			e, there = entry{}, false
		}
	}
}

// field reads one field; the name is "" between entries.
func field(in *bufio.Reader) (name string, value []byte, err error) {
	text, err := in.ReadSlice('\n')
	for errors.Is(err, bufio.ErrBufferFull) && len(value) < maxField {
		value = append(value, text...)
		text, err = in.ReadSlice('\n')
	}
	if err != nil {
		return "", nil, err
	}
	line := bytes.TrimSuffix(append(value, text...), []byte{'\n'})
	key, value, plain := bytes.Cut(line, []byte{'='})
	if plain || len(line) == 0 {
		return string(key), value, nil
	}
	var size [8]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return "", nil, err
	}
	n := binary.LittleEndian.Uint64(size[:])
	if n > maxField {
		return "", nil, fmt.Errorf("a field of %d bytes", n)
	}
	value = make([]byte, n+1)
	if _, err := io.ReadFull(in, value); err != nil {
		return "", nil, err
	}
	return string(key), value[:n], nil
}

// take puts a field into an entry.
func take(e *entry, name string, value []byte) {
	switch text := string(value); name {
	case "__CURSOR":
		e.cursor = text
	case "__REALTIME_TIMESTAMP":
		n, _ := strconv.ParseInt(text, 10, 64)
		e.sent = time.UnixMicro(n)
	case fieldCgroup:
		e.cgroup = text
	case "MESSAGE":
		e.Text = value
	case fieldTime:
		e.Time, _ = time.Parse(time.RFC3339Nano, text)
	case fieldStream:
		e.Stream = log.Stdout
		if text == log.Stderr.String() {
			e.Stream = log.Stderr
		}
	case fieldInstance:
		e.Run.Instance, _ = strconv.ParseUint(text, 10, 64)
	case fieldStart:
		n, _ := strconv.ParseUint(text, 10, 32)
		e.Run.Start = uint32(n)
	case fieldAt:
		segment, offset, _ := strings.Cut(text, ":")
		e.At.Segment, _ = strconv.ParseUint(segment, 10, 64)
		e.At.Offset, _ = strconv.ParseInt(offset, 10, 64)
	case fieldPartial:
		e.Partial = true
	case fieldDropped:
		e.Dropped, _ = strconv.ParseInt(text, 10, 64)
	}
}
