package criu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/checkpoint-restore/go-criu/v8/stats"
)

func TestErrorLines(t *testing.T) {
	log := "(00.001) Warn  (criu/a.c:1): not this\n" +
		"Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n" +
		"(00.050321)      1: Error (criu/files-reg.c:2175): File \x1b[31metc/x has bad size 3 (expect 4)\n" +
		"garbage\n" +
		" 11803: Error (criu/files.c:1221): Unable to open fd=4 id=0x5\n" +
		"Error (criu/cr-restore.c:2098): Restoring FAILED.\n"
	if got := fmt.Sprintf("%q", errorLines([]byte(log))); got != `["File ?[31metc/x has bad size 3 (expect 4)" "Unable to open fd=4 id=0x5"]` {
		t.Errorf("got %s", got)
	}
}

// A log without end is read at its end, and of its errors few are kept.
func TestLogsAreBounded(t *testing.T) {
	dir := OpenTempDir(t)
	huge := strings.Repeat("Error (x.c:1): the same again "+strings.Repeat("y", 2*maxLine)+"\n", 1000)
	if err := os.WriteFile(dir.Name()+"/dump.log", []byte(huge+"Error (x.c:2): the last\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := errorsOf(dir, "dump.log")
	if len(lines) != maxLines || lines[maxLines-1] != "the last" || len(lines[1]) > maxLine {
		t.Errorf("%d lines: %.100q", len(lines), lines)
	}
	if err := os.Symlink("/etc/passwd", dir.Name()+"/restore.log"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(dir.Name()+"/fifo.log", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"restore.log", "fifo.log", "none.log"} {
		if lines := errorsOf(dir, name); lines != nil {
			t.Errorf("%s: %q", name, lines)
		}
	}
}

func TestKnownCauses(t *testing.T) {
	for line, want := range map[string]struct {
		text string
		is   error
	}{
		"inet: Connected TCP socket, consider using --tcp-established option.": {"a process has an open TCP connection", nil},
		"Can't lookup mount=27 for fd=-3 path=/root/tool":                      {"the file /root/tool", nil},
		"sockets: Can't get 1:16 opt: Operation not supported":                 {"too old for this kernel", errors.ErrUnsupported},
		"Can't dump nested pid namespace for 12":                               {"process 12 has made a pid namespace of its own", nil},
		"File bin/tool has bad size 7 (expect 9)":                              {"/bin/tool has 7 bytes, and had 9", fs.ErrInvalid},
		"Can't fork for 12: File exists":                                       {"process number 12 is taken", syscall.EEXIST},
		"page-xfer: Unable to write: No space left on device":                  {"no space is left", syscall.ENOSPC},
		"inet: Can't bind inet socket (id 9): Cannot assign requested address": {"an address of the image is not there", syscall.EADDRNOTAVAIL},
		"cpu: CPU xsave size mismatch (2440/832)":                              {"a processor with features that this one lacks", errors.ErrUnsupported},
	} {
		err := newError("dump", []string{"something before", line, "something after"})
		if !strings.Contains(err.Error(), want.text) || !strings.Contains(err.Error(), line) || want.is != nil && !errors.Is(err, want.is) {
			t.Errorf("%s: %v", line, err)
		}
	}
	if err := newError("dump", []string{"what nobody knew", "came of it"}); err.Error() != "cannot dump: criu: what nobody knew" {
		t.Errorf("unknown cause: %v", err)
	}
}

func TestStatsOfADump(t *testing.T) {
	zero := new(uint64)
	entry := &stats.StatsEntry{Dump: &stats.DumpStatsEntry{
		FreezingTime: new(uint32(500)), FrozenTime: new(uint32(7000)), MemdumpTime: new(uint32(1)), MemwriteTime: new(uint32(2)),
		PagesScanned: new(uint64(9)), PagesSkippedParent: zero, PagesWritten: new(uint64(4)), PagesLazy: zero, ShpagesWritten: new(uint64(1)),
	}}
	payload, err := entry.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, stats.PayloadOffset)
	binary.LittleEndian.PutUint32(head, stats.ImgServiceMagic)
	binary.LittleEndian.PutUint32(head[4:], stats.StatsMagic)
	binary.LittleEndian.PutUint32(head[8:], uint32(len(payload)))
	dir := OpenTempDir(t)
	write := func(data []byte) {
		if err := os.WriteFile(dir.Name()+"/stats-dump", data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(append(head, payload...))
	got, err := ReadDumpStats(dir)
	want := DumpStats{Freezing: 500 * time.Microsecond, Frozen: 7 * time.Millisecond, Memory: time.Microsecond, Write: 2 * time.Microsecond, Scanned: 9 * pageSize, Written: 5 * pageSize}
	if got != want || err != nil {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	write(append(head, payload[:len(payload)-1]...))
	if _, err := ReadDumpStats(dir); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("torn: %v", err)
	}
	for _, data := range [][]byte{nil, []byte("short"), make([]byte, 200)} {
		write(data)
		if _, err := ReadDumpStats(dir); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", data, err)
		}
	}
	if _, err := ReadRestoreStats(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no restore: %v", err)
	}
}
