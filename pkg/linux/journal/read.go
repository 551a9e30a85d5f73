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

// arguments ask for the lines of options, or some more.
func (r Reader) arguments(o log.Options, run *log.Run) []string {
	args := []string{"--quiet", "--no-pager", "--all", "--output=export", "--output-fields=" + strings.Join([]string{
		"MESSAGE", fieldTime, fieldStream, fieldInstance, fieldStart, fieldAt, fieldPartial, fieldDropped,
	}, ",")}
	if !o.Since.IsZero() { // an entry is never older than its line
		args = append(args, "--since=@"+strconv.FormatInt(o.Since.Unix(), 10))
	}
	switch {
	case o.Tail > 0 && o.Until.IsZero():
		args = append(args, "--lines="+strconv.Itoa(o.Tail))
	case o.Follow:
		args = append(args, "--no-tail")
	}
	if o.Follow && !o.Previous {
		args = append(args, "--follow")
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

// read gives the lines of a run, or of all.
func (r Reader) read(ctx context.Context, o log.Options, run *log.Run, yield func(log.Line, error) bool) {
	if o.Follow && !o.Until.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, o.Until.Add(lastPause))
		defer stop()
	}
	var seen [3]log.Line // the latest of each stream
	var kept []log.Line  // the last ones, when what comes after them is not wanted
	wanted := true
	err := r.entries(ctx, r.arguments(o, run), func(l log.Line) bool {
		before := &seen[l.Stream]
		if !before.At.Before(l.At) && !l.Time.After(before.Time) && l.At != (log.Place{}) {
			return true // it was sent twice
		}
		before.At, before.Time = l.At, l.Time
		switch {
		case l.Time.Before(o.Since):
			return true
		case !o.Until.IsZero() && l.Time.After(o.Until):
			return true
		case o.Tail > 0 && !o.Until.IsZero():
			l.Text = bytes.Clone(l.Text)
			kept = append(kept, l)
			kept = kept[max(0, len(kept)-o.Tail):]
			return true
		}
		wanted = yield(l, nil)
		return wanted
	})
	for _, l := range kept {
		if wanted = wanted && yield(l, nil); !wanted {
			return
		}
	}
	if err != nil && wanted && ctx.Err() == nil {
		yield(log.Line{}, fmt.Errorf("cannot read the journal: %w", err))
	}
}

// previous is the run before the current one; none if the journal knows of none.
func (r Reader) previous(ctx context.Context) (run log.Run, err error) {
	args := append(r.arguments(log.Options{}, nil), "--reverse")
	err = r.entries(ctx, args, func(l log.Line) bool {
		if l.Run == r.Current || l.Run == (log.Run{}) {
			return true
		}
		run = l.Run
		return false
	})
	return run, err
}

// entries gives the lines that journalctl prints until visit returns false.
func (r Reader) entries(ctx context.Context, args []string, visit func(log.Line) bool) error {
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
	enough, err := parse(out, visit)
	if err != nil || enough {
		stop()
	}
	if failed := cmd.Wait(); err == nil && !enough && failed != nil {
		err = fmt.Errorf("%w: %s", failed, bytes.TrimSpace(complaint.Bytes()))
	}
	return err
}

// parse reads entries in the export format until visit wants no more: https://systemd.io/JOURNAL_EXPORT_FORMATS/
func parse(r io.Reader, visit func(log.Line) bool) (enough bool, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var l log.Line
	there := false
	for {
		name, value, err := field(in)
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		case name != "":
			take(&l, name, value)
			there = true
			continue
		case there:
			if l.Stream == 0 {
				l.Stream = log.Stdout
			}
			if !visit(l) {
				return true, nil
			}
			l, there = log.Line{}, false
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

// take puts a field into a line.
func take(l *log.Line, name string, value []byte) {
	switch text := string(value); name {
	case "MESSAGE":
		l.Text = value
	case fieldTime:
		l.Time, _ = time.Parse(time.RFC3339Nano, text)
	case fieldStream:
		l.Stream = log.Stdout
		if text == log.Stderr.String() {
			l.Stream = log.Stderr
		}
	case fieldInstance:
		l.Run.Instance, _ = strconv.ParseUint(text, 10, 64)
	case fieldStart:
		n, _ := strconv.ParseUint(text, 10, 32)
		l.Run.Start = uint32(n)
	case fieldAt:
		segment, offset, _ := strings.Cut(text, ":")
		l.At.Segment, _ = strconv.ParseUint(segment, 10, 64)
		l.At.Offset, _ = strconv.ParseInt(offset, 10, 64)
	case fieldPartial:
		l.Partial = true
	case fieldDropped:
		l.Dropped, _ = strconv.ParseInt(text, 10, 64)
	}
}
