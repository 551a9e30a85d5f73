package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"golang.org/x/sys/unix"
)

// read are the lines of a file, each of which has to be JSON.
func read(t *testing.T, path string) (list []map[string]any) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var v map[string]any
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatalf("%q: %v", s.Bytes(), err)
		}
		list = append(list, v)
	}
	return list
}

func TestLog(t *testing.T) {
	dir := t.TempDir()
	for i := range 2 { // the second agent goes on with the file
		l := Open(dir, logr.Discard())
		l.Add(Record{ID: fmt.Sprint(i), UID: 7, Method: "POST", Path: "/v1/containers/web/stop", Body: []byte(`{"for":"1h"}`), Status: 200})
		l.Add(Record{ID: "large", Body: []byte(`"` + strings.Repeat("x", maxBody) + `"`)})
		l.Close()
		l.Close()
		l.Add(Record{ID: "late"})
	}
	path := filepath.Join(dir, FileName)
	got := read(t, path)
	if len(got) != 4 || got[2]["id"] != "1" || got[0]["uid"] != 7.0 || got[0]["body"].(map[string]any)["for"] != "1h" || got[1]["body"] != "4098 bytes" {
		t.Errorf("got %v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	var none *Log
	none.Add(Record{})
	none.Close()
}

// The files stay within their bounds, and are complete up to what was dropped as the oldest.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	f := file{dir: dir, name: FileName, max: 1 << 20, old: 3}
	line := []byte(`{"x":"` + strings.Repeat("x", 64<<10) + `"}` + "\n")
	for range 6 * int(f.max) / len(line) {
		if err := f.write(line); err != nil {
			t.Fatal(err)
		}
	}
	f.close()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1+f.old {
		t.Fatalf("got %v, %v", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Size() > f.max || info.Mode() != 0o600 || info.Size()%int64(len(line)) != 0 {
			t.Errorf("%s: %d bytes, %v, %v", e.Name(), info.Size(), info.Mode(), err)
		}
	}
}

// A file that cannot be put aside is not written to any more.
func TestRotationFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, FileName+".3", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, FileName+".2", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := file{dir: dir, name: FileName, max: 1 << 20, old: 3, size: 1 << 20}
	if err := f.write([]byte("{}\n")); err == nil {
		t.Error("it is written on")
	}
}

// A disk that is full holds nobody up: the gap is told at once, and written down when there is room.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skip: needs root to mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	var mu sync.Mutex
	var told []string
	l := Open(dir, funcr.New(func(_, args string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, args)
	}, funcr.Options{}))
	ballast, path := filepath.Join(dir, "ballast"), filepath.Join(dir, FileName)
	if err := os.WriteFile(ballast, make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	const n = 200
	for i := range n {
		l.Add(Record{ID: fmt.Sprint(i), Path: strings.Repeat("x", 1000)})
	}
	// Every record is on the disk, or counted there, or still counted here: a line that says how many there were is shorter than a record, and may find room before.
	written, missed := 0, 0
	for ; written+missed+int(l.accepted.missed.Load()) < n; time.Sleep(time.Millisecond) {
		written, missed = tally(path)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	l.Add(Record{ID: "after"})
	l.Close()
	got := read(t, path)
	written, missed = tally(path)
	if last := got[len(got)-1]; written == 0 || missed == 0 || written+missed != n+1 || last["id"] != "after" {
		t.Errorf("%d written, %d missed; last %v", written, missed, last)
	}
	if len(told) < 2 || len(told)%2 != 0 || !strings.Contains(told[0], "gaps") || !strings.Contains(told[len(told)-1], "again") {
		t.Errorf("told %q", told)
	}
}

// tally counts the whole records of a log that may be in the middle of being written, and those that it says are missing.
func tally(path string) (written, missed int) {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		var v struct{ Missed int }
		switch {
		case json.Unmarshal([]byte(line), &v) != nil:
		case v.Missed > 0:
			missed += v.Missed
		default:
			written++
		}
	}
	return written, missed
}

// While the disk does not answer, records are counted and nobody waits.
func TestStuckDisk(t *testing.T) {
	dir := t.TempDir()
	of := func(name string) *lines { return newLines(logr.Discard(), file{dir: dir, name: name, max: 1 << 20}) }
	l := &Log{of(FileName), of(RefusedName)}
	for range maxQueue + 7 {
		l.Add(Record{Refused: true})
	}
	l.Add(Record{ID: "done"}) // has its place, however many are refused
	go l.accepted.run()
	go l.refused.run()
	l.Close()
	if got := read(t, filepath.Join(dir, RefusedName)); len(got) != maxQueue+1 || got[0]["missed"] != 7.0 {
		t.Errorf("%d lines, the first %v", len(got), got[0])
	}
	if got := read(t, filepath.Join(dir, FileName)); len(got) != 1 || got[0]["id"] != "done" {
		t.Errorf("got %v", got)
	}
}

// Who is refused takes no room from what was done, however often and with whatever text.
func TestManyRefusals(t *testing.T) {
	dir := t.TempDir()
	l := Open(dir, logr.Discard())
	l.Add(Record{ID: "done", Path: "/v1/containers/web/stop"})
	long := strings.Repeat("x", 8<<10)
	for range maxQueue {
		l.Add(Record{Refused: true, Path: long, Query: long, Message: long})
	}
	l.Close()
	if got := read(t, filepath.Join(dir, FileName)); len(got) != 1 || got[0]["id"] != "done" {
		t.Errorf("got %v", got)
	}
	for i, r := range read(t, filepath.Join(dir, RefusedName)) {
		if text, want := r["path"], long[:maxText]+"... (8192 bytes)"; text != want || r["query"] != want || r["message"] != want {
			t.Fatalf("%d: got %v", i, r)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, RefusedName+".2")); err == nil {
		t.Error("refusals have three files")
	}
}
