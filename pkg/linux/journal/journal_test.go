package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/journal"
	"github.com/seed31d4122e/reconciler/pkg/linux/log"
)

var run = log.Run{Instance: 3, Start: 2}

// sink is a journal in memory.
type sink struct {
	t    *testing.T
	path string
	conn *net.UnixConn

	mu      sync.Mutex
	entries []map[string]string
}

// listen has the sink take what is sent.
func (s *sink) listen() {
	s.t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path, Net: "unixgram"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.conn = conn
	go func() {
		buf, oob := make([]byte, 1<<20), make([]byte, 1<<10)
		for {
			n, rights, _, _, err := conn.ReadMsgUnix(buf, oob)
			if err != nil {
				return
			}
			data := bytes.Clone(buf[:n])
			if rights > 0 {
				data = sealed(s.t, oob[:rights])
			}
			s.mu.Lock()
			s.entries = append(s.entries, decode(s.t, data))
			s.mu.Unlock()
		}
	}()
}

func newSink(t *testing.T) *sink {
	s := &sink{t: t, path: filepath.Join(t.TempDir(), "socket")}
	t.Cleanup(func() {
		if s.conn != nil {
			s.conn.Close()
		}
	})
	return s
}

// sealed reads a file that came along, which must be sealed as the protocol wants.
func sealed(t *testing.T, oob []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		t.Errorf("control messages: %v, %v", messages, err)
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Errorf("rights: %v, %v", fds, err)
		return nil
	}
	f := os.NewFile(uintptr(fds[0]), "entry")
	defer f.Close()
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if want := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL; err != nil || seals != want {
		t.Errorf("seals %#x, %v", seals, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		t.Error(err)
	}
	return data
}

// decode reads an entry as journald does.
func decode(t *testing.T, data []byte) map[string]string {
	fields := map[string]string{}
	for len(data) > 0 {
		line, rest, ok := bytes.Cut(data, []byte{'\n'})
		if !ok {
			t.Errorf("no newline at the end of %q", data)
			return fields
		}
		name, value, plain := bytes.Cut(line, []byte{'='})
		if !plain {
			n := binary.LittleEndian.Uint64(rest)
			value, rest = rest[8:8+n], rest[8+n+1:]
		}
		fields[string(name)] = string(value)
		data = rest
	}
	return fields
}

// wait waits until there are n entries and gives them.
func (s *sink) wait(n int) []map[string]string {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		got := s.entries
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d entries, want %d", len(got), n)
		}
	}
}

func (s *sink) messages() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		list = append(list, e["MESSAGE"])
	}
	return list
}

func TestEntries(t *testing.T) {
	s := newSink(t)
	s.listen()
	c := journal.Dial(s.path)
	defer c.Close()
	want := []map[string]string{
		{"MESSAGE": "plain", "PRIORITY": "6"},
		{"MESSAGE": "two\nlines", "A_B": "x=y"},
		{"MESSAGE": "", "Z": "\n"},
		{"MESSAGE": strings.Repeat("long ", 2<<20)}, // larger than any datagram
	}
	for _, fields := range want {
		var entry []byte
		for name, value := range fields {
			entry = journal.Append(entry, name, []byte(value))
		}
		if err := c.Send(entry, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	for i, got := range s.wait(len(want)) {
		if fmt.Sprint(got) != fmt.Sprint(want[i]) {
			t.Errorf("%.200q, want %.200q", got, want[i])
		}
	}
}

func TestFieldName(t *testing.T) {
	for key, want := range map[string]string{"name": "RECONCILER_NAME", "logDir": "RECONCILER_LOG_DIR", "a.b-1": "RECONCILER_A_B_1", "Err": "RECONCILER_ERR"} {
		if got := journal.FieldName("RECONCILER_", key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

// A journal that nobody reads costs who writes no more than his patience; one that is made anew is found.
func TestBusyAndGone(t *testing.T) {
	s := newSink(t)
	c := journal.Dial(s.path)
	defer c.Close()
	if err := c.Send([]byte("MESSAGE=x\n"), time.Second); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no journal: %v", err)
	}
	full, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; {
		err = c.Send([]byte("MESSAGE=x\n"), 10*time.Millisecond)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a full one: %v", err)
	}
	full.Close()
	os.Remove(s.path)
	s.listen()
	for deadline := time.Now().Add(10 * time.Second); c.Send([]byte("MESSAGE=again\n"), time.Second) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the new journal is not found")
		}
	}
	s.wait(1)
}

// output is a log that a container writes to.
type output struct {
	t    *testing.T
	dir  string
	w    *log.Writer
	r, p *os.File
}

func newOutput(t *testing.T, limits log.Limits) *output {
	t.Helper()
	o := &output{t: t, dir: filepath.Join(t.TempDir(), "web")}
	var err error
	if o.w, err = log.OpenWriter(o.dir, limits); err != nil {
		t.Fatal(err)
	}
	if o.r, o.p, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.w.Close(); o.r.Close(); o.p.Close() })
	return o
}

func (o *output) say(stream log.Stream, text string) {
	o.t.Helper()
	for len(text) > 0 {
		n := min(len(text), 32<<10)
		if _, err := io.WriteString(o.p, text[:n]); err != nil {
			o.t.Fatal(err)
		}
		if _, err := o.w.Drain(run, stream, o.r, 0); err != nil {
			o.t.Fatal(err)
		}
		text = text[n:]
	}
}

// forward runs a forwarder until the function that it gives is called.
func (o *output) forward(s *sink, t journal.Target) (f *journal.Forwarder, end func()) {
	ctx, stop := context.WithCancel(context.Background())
	t.Dir = o.dir
	f = journal.NewForwarder(journal.Dial(s.path), logr.Discard())
	f.Set(ctx, "web", t)
	return f, func() {
		stop()
		f.Wait()
	}
}

func TestForward(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{})
	s.listen()
	_, end := o.forward(s, journal.Target{Fields: []journal.Field{{Name: "RECONCILER_GROUP", Value: "shop"}}})
	defer end()
	o.say(log.Stdout, "hello\n")
	o.say(log.Stderr, "oops\n")
	o.say(log.Stdout, strings.Repeat("x", 64<<10)+"y\n")
	got := s.wait(4)
	for i, want := range []map[string]string{
		{"MESSAGE": "hello", "PRIORITY": "6", "RECONCILER_STREAM": "stdout", "RECONCILER_OFFSET": "1:0"},
		{"MESSAGE": "oops", "PRIORITY": "3", "RECONCILER_STREAM": "stderr", "RECONCILER_OFFSET": "1:6"},
		{"MESSAGE": strings.Repeat("x", 64<<10), "CONTAINER_PARTIAL_MESSAGE": "true"},
		{"MESSAGE": "y", "CONTAINER_PARTIAL_MESSAGE": ""},
	} {
		want["CONTAINER_NAME"], want["CONTAINER_ID"], want["SYSLOG_IDENTIFIER"] = "web", "web/3", "web"
		want["RECONCILER_INSTANCE"], want["RECONCILER_START"], want["RECONCILER_GROUP"], want["RECONCILER_LOG"] = "3", "2", "shop", o.dir
		for name, value := range want {
			if got[i][name] != value {
				t.Errorf("entry %d: %s is %.100q, want %.100q", i, name, got[i][name], value)
			}
		}
		if at, err := time.Parse(time.RFC3339Nano, got[i]["SYSLOG_TIMESTAMP"]); err != nil || time.Since(at) > time.Minute {
			t.Errorf("entry %d: time %v, %v", i, at, err)
		}
	}
}

// A forwarder goes on where its predecessor stopped, and what is written while the journal is away waits.
// Logs that do not grow are looked at together: an idle node wakes up for all of them at once.
func TestForwardIdlesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := journal.NewForwarder(nil, logr.Discard())
		began := time.Now()
		first := f.Tick()
		time.Sleep(time.Millisecond)
		if f.Tick() != first {
			t.Error("the second has a timer of its own")
		}
		<-first
		if f.Tick() == first {
			t.Error("a tick that is over is waited for")
		}
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("it came after %v", took)
		}
		<-f.Tick()
	})
}

func TestForwardGoesOn(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{MaxSize: 4 << 10, MaxFiles: 100})
	var want []string
	say := func(n int) {
		for range n {
			line := fmt.Sprintf("line %d", len(want))
			want = append(want, line)
			o.say(log.Stdout, line+"\n")
		}
	}
	_, end := o.forward(s, journal.Target{Remove: true})
	say(300) // there is no journal
	s.listen()
	s.wait(300)
	say(1)
	s.wait(301)
	end()
	say(300) // there is no forwarder
	_, end = o.forward(s, journal.Target{Remove: true})
	s.wait(601)
	end()
	if got := s.messages(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %d lines, want %d: %q", len(got), len(want), got)
	}
	if files, _ := filepath.Glob(filepath.Join(o.dir, "*.log")); len(files) > 1 {
		t.Errorf("the log keeps what the journal has: %v", files)
	}
}

// What a log could not hold while the journal was away is counted, and said where it is missing.
func TestForwardLoses(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{MaxSize: 4 << 10, MaxFiles: 2})
	if err := os.WriteFile(filepath.Join(o.dir, "journal.json"), []byte(`{"segment":1}`), 0o600); err != nil { // whenever it begins, it has all before it
		t.Fatal(err)
	}
	f, end := o.forward(s, journal.Target{})
	defer end()
	for i := range 2000 {
		o.say(log.Stdout, fmt.Sprintf("line %d\n", i))
	}
	s.listen()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if all := s.messages(); len(all) > 0 && strings.Join(all, "\n") != "" && strings.Contains(strings.Join(all, "\n"), "line 1999") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the last line never comes: %q", s.messages())
		}
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(strings.Join(s.messages(), "\n"), "came faster"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing tells of what is missing: %q", s.messages())
		}
	}
	if lost := f.Dropped(); lost < 5000 || lost > 30000 {
		t.Errorf("lost %d bytes", lost)
	}
}

// Set with nothing ends when all is there.
func TestForwardEnds(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{})
	s.listen()
	f, end := o.forward(s, journal.Target{})
	defer end()
	o.say(log.Stdout, "one\nlast words")
	f.Set(t.Context(), "web", journal.Target{})
	got := s.wait(2)
	if got[1]["MESSAGE"] != "last words" || got[1]["CONTAINER_PARTIAL_MESSAGE"] != "true" {
		t.Errorf("the last entry is %q", got[1])
	}
}

// Who may write in the directory of logs has the agent neither overwrite a file of the node nor read one, by links in the place of what it keeps there.
func TestForwardFollowsNoLink(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{})
	s.listen()
	victim := filepath.Join(t.TempDir(), "shadow")
	const text = `{"segment":9,"offset":9}`
	if err := os.WriteFile(victim, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"journal.json", "journal.json.new"} {
		if err := os.Symlink(victim, filepath.Join(o.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, end := o.forward(s, journal.Target{})
	o.say(log.Stdout, "hello\n")
	if got := s.wait(1); got[0]["MESSAGE"] != "hello" {
		t.Errorf("got %q", got)
	}
	end()
	if got, err := os.ReadFile(victim); err != nil || string(got) != text {
		t.Errorf("the file behind the links is %q, %v", got, err)
	}
	if info, err := os.Lstat(filepath.Join(o.dir, "journal.json")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("what is kept is %v, %v", info, err)
	}
}

// place is what journal.json says; false while there is none.
func (o *output) place() (at log.Place, ok bool) {
	data, err := os.ReadFile(filepath.Join(o.dir, "journal.json"))
	return at, err == nil && json.Unmarshal(data, &at) == nil
}

// An agent that is killed at any moment leaves the segment where its successor goes on, so nothing that was sent is told as lost.
func TestForwardKilled(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{MaxSize: 4 << 10, MaxFiles: 1000})
	s.listen()
	_, end := o.forward(s, journal.Target{Remove: true})
	defer end()
	stop := make(chan struct{})
	watched := make(chan int)
	go func() {
		gone := 0
		defer func() { watched <- gone }()
		for {
			at, ok := o.place()
			_, err := os.Stat(filepath.Join(o.dir, fmt.Sprintf("%08d.log", at.Segment)))
			if again, _ := o.place(); ok && err != nil && at.Segment > 0 && at == again {
				gone++
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	for i := range 10000 {
		o.say(log.Stdout, fmt.Sprintf("line %d\n", i))
	}
	s.wait(10000)
	close(stop)
	if gone := <-watched; gone > 0 {
		t.Errorf("%d times the place of a successor was not there", gone)
	}
}

// A line that is under way keeps the segment that it begins in, whatever comes on the other stream and through a restart.
func TestForwardUnfinished(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{MaxSize: 4 << 10, MaxFiles: 100})
	s.listen()
	_, end := o.forward(s, journal.Target{Remove: true})
	o.say(log.Stderr, "begun")
	for i := range 1500 {
		o.say(log.Stdout, fmt.Sprintf("line %d\n", i))
	}
	s.wait(1500)
	end()
	_, end = o.forward(s, journal.Target{Remove: true})
	o.say(log.Stderr, ", ended\n")
	for i := 0; !slices.Contains(s.messages(), "begun, ended"); i++ {
		if time.Sleep(time.Millisecond); i == 10000 {
			t.Fatalf("the line does not come whole: %q", s.messages()[1500:])
		}
	}
	end()
}

// What was lost stands in front of what came after it, and is told though the journal is away when that is found.
func TestForwardLostInPlace(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{MaxSize: 4 << 10, MaxFiles: 2})
	s.listen()
	_, end := o.forward(s, journal.Target{})
	o.say(log.Stdout, "first\n")
	s.wait(1)
	end()
	for i := range 2000 {
		o.say(log.Stdout, fmt.Sprintf("line %d\n", i))
	}
	s.conn.Close()
	os.Remove(s.path)
	f, end := o.forward(s, journal.Target{})
	for i := 0; f.Dropped() == 0; i++ {
		if time.Sleep(time.Millisecond); i == 10000 {
			t.Fatal("nothing is counted")
		}
	}
	end() // before the journal has the note
	s.listen()
	_, end = o.forward(s, journal.Target{})
	defer end()
	note := s.wait(3)[1]
	if !strings.Contains(note["MESSAGE"], "are lost") || note["RECONCILER_INSTANCE"] != "3" || note["RECONCILER_STREAM"] != "" {
		t.Errorf("behind the first line: %q", note)
	}
}

// A segment of the place that is gone is told, however little is in the one after it.
func TestForwardLosesLittle(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{MaxSize: 4 << 10, MaxFiles: 1})
	s.listen()
	_, end := o.forward(s, journal.Target{})
	o.say(log.Stdout, strings.Repeat("x", 3000)+"\n")
	s.wait(1)
	end()
	o.say(log.Stdout, strings.Repeat("y", 900)+"\n")
	o.say(log.Stdout, strings.Repeat("z", 200)+"\n")
	f, end := o.forward(s, journal.Target{})
	defer end()
	if note := s.wait(3)[1]["MESSAGE"]; f.Dropped() == 0 || !strings.Contains(note, "are lost") {
		t.Errorf("dropped %d, %.100q", f.Dropped(), note)
	}
}

// What cannot be moved when no more is wanted is counted, and whoever wants it again gets it.
func TestForwardEndsAway(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{})
	f, end := o.forward(s, journal.Target{})
	o.say(log.Stdout, "one\ntwo\n")
	f.Set(t.Context(), "web", journal.Target{})
	f.Wait()
	end()
	if n := f.Dropped(); n < 6 || n > 8 {
		t.Errorf("dropped %d bytes", n)
	}
	s.listen()
	_, end = o.forward(s, journal.Target{})
	s.wait(2)
	end()
}

// Two jobs of a name come one after the other: the second finds what the first leaves.
func TestForwardFlaps(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{})
	s.listen()
	for n := 1; n <= 30; n++ {
		f := journal.NewForwarder(journal.Dial(s.path), logr.Discard())
		ctx, stop := context.WithCancel(t.Context())
		f.Set(ctx, "web", journal.Target{Dir: o.dir})
		o.say(log.Stdout, "x\n")
		s.wait(n)
		f.Set(ctx, "web", journal.Target{})
		f.Set(ctx, "web", journal.Target{Dir: o.dir})
		time.Sleep(time.Millisecond)
		stop()
		f.Wait()
		if at, ok := o.place(); !ok || at.Offset != int64(2*n) {
			t.Fatalf("after %d: %v, %t", n, at, ok)
		}
	}
	if n := len(s.messages()); n != 30 {
		t.Errorf("%d lines, want 30", n)
	}
}

// A directory that somebody removes is found again when the writer has made it again.
func TestForwardDirectoryRemoved(t *testing.T) {
	s, o := newSink(t), newOutput(t, log.Limits{})
	s.listen()
	_, end := o.forward(s, journal.Target{Remove: true})
	defer end()
	o.say(log.Stdout, "before\n")
	s.wait(1)
	if err := os.RemoveAll(o.dir); err != nil {
		t.Fatal(err)
	}
	o.say(log.Stdout, "after\n")
	if got := s.wait(2)[1]["MESSAGE"]; got != "after" {
		t.Errorf("after it: %q", got)
	}
}

// The first lines of a log that begins after the wish for the journal get there, whenever a successor comes.
func TestForwardFirstLines(t *testing.T) {
	s, dir := newSink(t), filepath.Join(t.TempDir(), "web")
	s.listen()
	f := journal.NewForwarder(journal.Dial(s.path), logr.Discard())
	ctx, stop := context.WithCancel(t.Context())
	f.Set(ctx, "web", journal.Target{Dir: dir})
	o := &output{dir: dir}
	for i := 0; ; i++ {
		if at, ok := o.place(); ok && at == (log.Place{Segment: 1}) {
			break
		}
		if time.Sleep(time.Millisecond); i == 10000 {
			t.Error("nothing says that it is followed from its beginning")
			break
		}
	}
	stop()
	f.Wait()
}

// export is journalctl's output of some entries.
func export(entries ...[]journal.Field) []byte {
	var b []byte
	for _, e := range entries {
		for _, f := range e {
			b = journal.Append(b, f.Name, []byte(f.Value))
		}
		b = append(b, '\n')
	}
	return b
}

// reader reads what a program prints that leaves its arguments in a file.
func reader(t *testing.T, output []byte, more string) (r journal.Reader, asked func() string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "out"), output, 0o600); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("echo \"$@\" >>%s/asked; cat %s/out; %s", dir, dir, more)
	return journal.Reader{Command: []string{"/bin/sh", "-c", script, "journalctl"}, Dir: "/log/web"}, func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "asked"))
		return string(text)
	}
}

func lines(t *testing.T, r journal.Reader, o log.Options) (texts []string, failed error) {
	t.Helper()
	for l, err := range r.Read(t.Context(), o) {
		if err != nil {
			return texts, err
		}
		texts = append(texts, l.Stream.String()[3:4]+":"+string(l.Text))
	}
	return texts, nil
}

func line(at time.Time, place, text string, more ...journal.Field) []journal.Field {
	return append([]journal.Field{
		{Name: "__CURSOR", Value: "s=1"},
		{Name: "MESSAGE", Value: text},
		{Name: "SYSLOG_TIMESTAMP", Value: at.UTC().Format(time.RFC3339Nano)},
		{Name: "RECONCILER_OFFSET", Value: place},
		{Name: "RECONCILER_STREAM", Value: "stdout"},
	}, more...)
}

func TestRead(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	out := export(
		line(at, "1:0", "one"),
		line(at.Add(time.Second), "1:4", "two\nwith a newline and \x1b"),
		line(at, "1:0", "one"), // sent twice
		line(at.Add(2*time.Second), "1:30", "three"),
		line(at.Add(3*time.Second), "1:0", "of another log", journal.Field{Name: "RECONCILER_STREAM", Value: "stderr"}),
	)
	r, asked := reader(t, out, "")
	for _, c := range []struct {
		o    log.Options
		want string
		asks string
	}{
		{log.Options{}, `["o:one" "o:two\nwith a newline and \x1b" "o:three" "e:of another log"]`, "RECONCILER_LOG=/log/web _UID="},
		{log.Options{Since: at.Add(time.Second)}, `["o:two\nwith a newline and \x1b" "o:three" "e:of another log"]`, "--since=@1767323046"},
		{log.Options{Until: at.Add(time.Second)}, `["o:one" "o:two\nwith a newline and \x1b"]`, ""},
		{log.Options{Stream: log.Stderr}, `["o:one" "o:two\nwith a newline and \x1b" "o:three" "e:of another log"]`, "RECONCILER_LOG=/log/web _UID=" + fmt.Sprint(os.Geteuid()) + " RECONCILER_STREAM=stderr"},
		{log.Options{Follow: true}, `["o:one" "o:two\nwith a newline and \x1b" "o:three" "e:of another log"]`, "--no-tail --follow"},
	} {
		got, err := lines(t, r, c.o)
		if text := fmt.Sprintf("%q", got); err != nil || text != c.want {
			t.Errorf("%+v: %s, %v, want %s", c.o, text, err, c.want)
		}
		if !strings.Contains(asked(), c.asks) {
			t.Errorf("%+v: asked %s, want %s", c.o, asked(), c.asks)
		}
	}
}

// What a container writes to the journal's socket itself, as the same user, is no line of another one, whatever it says of itself.
func TestReadForged(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	from := func(i int, cgroup, text string) []journal.Field {
		var more []journal.Field
		if cgroup != "" {
			more = append(more, journal.Field{Name: "_SYSTEMD_CGROUP", Value: cgroup})
		}
		return line(at.Add(time.Duration(i)*time.Second), fmt.Sprintf("1:%d", 10*i), text, more...)
	}
	out := export(
		from(0, "/system.slice/reconciler.service", "own"),
		from(1, "/system.slice/reconciler.scope/containers/evil/1", "forged"),
		from(2, "/system.slice/reconciler.scope/containers", "forged"),
		from(3, "", "nobody knows"),
		from(4, "/system.slice/reconciler.scope/containers2", "beside"),
	)
	r, asked := reader(t, out, "")
	for _, c := range []struct {
		named bool
		want  []string
	}{{true, []string{"o:own", "o:beside"}}, {false, []string{"o:own", "o:nobody knows", "o:beside"}}} {
		r.Senders = journal.Senders{Containers: "/system.slice/reconciler.scope/containers", Named: c.named}
		if got, err := lines(t, r, log.Options{}); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
	if !strings.Contains(asked(), ",_SYSTEMD_CGROUP,") {
		t.Errorf("asked %s", asked())
	}
}

// kept is a journal that journalctl reads forwards and backwards, from a cursor and to follow; an entry is sent a second after the one before it.
func kept(t *testing.T, from time.Time, entries ...[]journal.Field) journal.Reader {
	t.Helper()
	dir := t.TempDir()
	for i, e := range entries {
		sent := from.Add(time.Duration(i) * time.Second)
		e = append([]journal.Field{{Name: "__CURSOR", Value: fmt.Sprint(i)}, {Name: "__REALTIME_TIMESTAMP", Value: fmt.Sprint(sent.UnixMicro())}}, e[1:]...)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), export(e), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := fmt.Sprintf(`cd %s; from=; list="seq \$from 1 %d"; follow=
for a; do case $a in
--reverse) list="seq \$from -1 0"; from=${from:-%[2]d};;
--cursor=*) from=${a#*=};;
--since=*) since=${a#*@};;
--follow) follow=1;;
esac; done
if [ "$since" ]; then [ -z "$from" ] || exit 1; from=$((since-%[3]d)); [ $from -ge 0 ] || from=0; fi
for i in $(eval ${list}); do echo $i >>read; cat $i; done
[ -z "$follow" ] || exec sleep 1000`, dir, len(entries)-1, from.Unix())
	script = strings.Replace(script, "from=; list", "from=; since=; list", 1)
	script = strings.Replace(script, "for i in", "from=${from:-0}; for i in", 1)
	return journal.Reader{Command: []string{"/bin/sh", "-c", script, "journalctl"}, Dir: filepath.Join(dir, "read")} // which has a line for each entry that was read
}

// The last lines are the last ones of those that are asked for, though entries were sent twice, and a follower has them before what comes.
func TestReadTail(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	at := func(i int) time.Time { return now.Add(time.Duration(i-10) * time.Second) }
	say := func(i int) []journal.Field { return line(at(i), fmt.Sprintf("1:%d", 4*i), fmt.Sprint(i)) }
	r := kept(t, at(0), say(0), say(1), say(2), say(1), say(2), say(3))
	for _, c := range []struct {
		o    log.Options
		want []string
	}{
		{log.Options{Tail: 1}, []string{"o:3"}},
		{log.Options{Tail: 2}, []string{"o:2", "o:3"}},
		{log.Options{Tail: 3}, []string{"o:1", "o:2", "o:3"}},
		{log.Options{Tail: 4}, []string{"o:0", "o:1", "o:2", "o:3"}},
		{log.Options{Tail: 2000000000}, []string{"o:0", "o:1", "o:2", "o:3"}},
		{log.Options{Tail: 2, Since: at(0)}, []string{"o:2", "o:3"}},
		{log.Options{Tail: 3, Since: at(2)}, []string{"o:2", "o:3"}},
		{log.Options{Tail: 2, Until: at(2)}, []string{"o:1", "o:2"}},
		{log.Options{Tail: 2, Since: at(1), Until: at(1)}, []string{"o:1"}},
		{log.Options{Tail: 2, Until: at(-1)}, nil},
		{log.Options{Tail: 2, Until: now.Add(time.Second), Follow: true}, []string{"o:2", "o:3"}},
	} {
		if got, err := lines(t, r, c.o); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, %v, want %q", c.o, got, err, c.want)
		}
	}
	// Who follows has them at once.
	for l, err := range r.Read(t.Context(), log.Options{Tail: 1, Until: now.Add(time.Hour), Follow: true}) {
		if err != nil || string(l.Text) != "3" {
			t.Errorf("the last line before what comes: %q, %v", l.Text, err)
		}
		break
	}
}

// A line that was given up where the agent was killed comes again as far as it then goes: it is read once, and whole.
func TestReadWhole(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	partial := journal.Field{Name: "CONTAINER_PARTIAL_MESSAGE", Value: "true"}
	start := func(n string) journal.Field { return journal.Field{Name: "RECONCILER_START", Value: n} }
	for what, c := range map[string]struct {
		sent [][]journal.Field
		want []string
	}{
		"it went on": {[][]journal.Field{
			line(now, "1:0", "begun", partial), line(now, "1:0", "begun, ended"), line(now, "1:20", "next"),
		}, []string{"begun|", ", ended\n", "next\n"}},
		"its rest was sent": {[][]journal.Field{
			line(now, "1:0", "begun", partial), line(now, "1:13", ", ended"), line(now, "1:0", "begun, ended"), line(now, "1:20", "next"),
		}, []string{"begun|", ", ended\n", "next\n"}},
		"nothing more was sent": {[][]journal.Field{
			line(now, "1:0", "begun", partial), line(now, "1:0", "begun", partial), line(now, "1:5", " and gone", partial),
		}, []string{"begun|", " and gone|"}},
		"another start has later places": {[][]journal.Field{
			line(now, "1:20", "new", start("2")), line(now, "1:0", "old", partial, start("1")), line(now, "1:20", "new", start("2")), line(now, "1:0", "old", partial, start("1")),
		}, []string{"new\n", "old|"}},
	} {
		r := kept(t, now, c.sent...)
		for _, o := range []log.Options{{}, {Tail: 100}} {
			var got []string
			for l, err := range r.Read(t.Context(), o) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(l.Text)+map[bool]string{true: "|", false: "\n"}[l.Partial])
			}
			if !slices.Equal(got, c.want) && !(o.Tail > 0 && strings.Join(got, "") == strings.ReplaceAll(strings.Join(c.want, ""), "|,", ",")) {
				t.Errorf("%s, tail %d: %q, want %q", what, o.Tail, got, c.want)
			}
		}
	}
}

// An end that was long ago is not looked for in all that came since.
func TestReadUntil(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	var sent [][]journal.Field
	for i := range 40 {
		sent = append(sent, line(now.Add(time.Duration(i)*time.Second), fmt.Sprintf("1:%d", i*64<<10), fmt.Sprint(i), journal.Field{Name: "PADDING", Value: strings.Repeat("x", 128<<10)})) // fills the pipe
	}
	// One began before the end, and another's 256 KiB came before the rest of it.
	sent[8] = line(now, fmt.Sprintf("1:%d", 3<<16), "late", journal.Field{Name: "RECONCILER_STREAM", Value: "stderr"})
	r := kept(t, now, sent...)
	for tail, most := range map[int]int{0: 14 + 2, 2: 3 * (11 + 2)} {
		got, err := lines(t, r, log.Options{Until: now.Add(3 * time.Second), Tail: tail})
		want := []string{"o:0", "o:1", "o:2", "o:3", "e:late"}
		if tail > 0 {
			want = want[len(want)-tail:]
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("tail %d: %q, %v, want %q", tail, got, err, want)
		}
		text, err := os.ReadFile(r.Dir)
		if n := bytes.Count(text, []byte{10}); err != nil || n > most {
			t.Errorf("tail %d: %d entries were read, want %d: %v", tail, n, most, err)
		}
		os.Remove(r.Dir)
	}
}

func TestReadPrevious(t *testing.T) {
	starts := func(n string) []journal.Field {
		return []journal.Field{{Name: "RECONCILER_INSTANCE", Value: "1"}, {Name: "RECONCILER_START", Value: n}}
	}
	r, asked := reader(t, export(line(time.Now(), "1:9", "now", starts("3")...), line(time.Now(), "1:5", "before", starts("2")...)), "")
	r.Current = log.Run{Instance: 1, Start: 3}
	if _, err := lines(t, r, log.Options{Previous: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(asked(), "--reverse") || !strings.Contains(asked(), "RECONCILER_INSTANCE=1 RECONCILER_START=2") {
		t.Errorf("asked %s", asked())
	}
}

func TestReadFails(t *testing.T) {
	r, _ := reader(t, nil, "echo no permission >&2; exit 1")
	if _, err := lines(t, r, log.Options{}); err == nil || !strings.Contains(err.Error(), "no permission") {
		t.Errorf("error %v", err)
	}
	if err := (journal.Reader{Command: []string{"/nowhere/journalctl"}}).Check(); !errors.Is(err, journal.ErrNoJournalctl) {
		t.Errorf("no journalctl: %v", err)
	}
	// Who does not want to read on does not wait for a program that follows.
	r, _ = reader(t, export(line(time.Now(), "1:0", "one")), "exec sleep 1000")
	for range r.Read(t.Context(), log.Options{Follow: true}) {
		break
	}
	// A reader that leaves ends it.
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, err := range r.Read(ctx, log.Options{Follow: true}) {
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("after the end: %v", err)
		}
	}
}

// Whatever journalctl prints, a reader ends with it, holds a bounded field, and gives back what was said plainly.
func FuzzExport(f *testing.F) {
	f.Add([]byte("MESSAGE=x\n\n"))
	f.Add(export(line(time.Unix(1, 0), "1:0", "a\nb"), line(time.Unix(2, 0), "9:9", strings.Repeat("z", 70_000))))
	f.Add([]byte("MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("RECONCILER_OFFSET=:::\nRECONCILER_INSTANCE=-1\nRECONCILER_START=99999999999\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = journal.Parse(bytes.NewReader(data), func(l journal.Entry) bool {
			if l.Stream != log.Stdout && l.Stream != log.Stderr || len(l.Text) > len(data) {
				t.Errorf("%+v", l)
			}
			return true
		})
		var got []string
		_, err := journal.Parse(bytes.NewReader(export([]journal.Field{{Name: "MESSAGE", Value: string(data)}})), func(l journal.Entry) bool {
			got = append(got, string(l.Text))
			return true
		})
		if err != nil || len(got) != 1 || got[0] != string(data) {
			t.Errorf("%q comes back as %q, %v", data, got, err)
		}
	})
}

// BenchmarkForward moves lines of 100 bytes to a journal that does nothing with them.
func BenchmarkForward(b *testing.B) {
	path := filepath.Join(b.TempDir(), "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	dir := filepath.Join(b.TempDir(), "web")
	w, err := log.OpenWriter(dir, log.Limits{MaxSize: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	r, p, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	defer p.Close()
	line := strings.Repeat("x", 99) + "\n"
	for range b.N {
		io.WriteString(p, line)
		if _, err := w.Drain(run, log.Stdout, r, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	f := journal.NewForwarder(journal.Dial(path), logr.Discard())
	ctx, stop := context.WithCancel(b.Context())
	f.Set(ctx, "web", journal.Target{Dir: dir})
	buf := make([]byte, 1<<16)
	for range b.N {
		if _, err := conn.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
	stop()
	f.Wait()
}
