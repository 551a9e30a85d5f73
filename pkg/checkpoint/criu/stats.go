package criu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/checkpoint-restore/go-criu/v8/stats"
	"golang.org/x/sys/unix"
)

// maxStats bounds a file of statistics; criu's have 80 bytes.
const maxStats = 64 << 10

// pageSize is the unit that criu counts memory in.
var pageSize = int64(os.Getpagesize())

// DumpStats are what a dump took.
type DumpStats struct {
	// Freezing is how long it took to stop the processes, Frozen how long they stood; of that Memory is finding their memory and taking it, Write
	// the writing of it.
	Freezing, Frozen, Memory, Write time.Duration
	// Scanned, Skipped and Written are bytes of memory that were looked at, left out because a parent has them, and written. Lazy are to follow a restore.
	Scanned, Skipped, Written, Lazy int64
}

// RestoreStats are what a restore took.
type RestoreStats struct {
	// Forking is how long it took to make the processes; Restore is the whole, until they run.
	Forking, Restore time.Duration
	// Restored are bytes of memory.
	Restored int64
}

// ReadDumpStats reads the statistics of the last dump in a work directory.
func ReadDumpStats(work *os.File) (DumpStats, error) {
	entry, err := readStats(work, stats.StatsDump)
	d := entry.GetDump()
	if err == nil && d == nil {
		err = fmt.Errorf("cannot read %s: it is of no dump: %w", stats.StatsDump, fs.ErrInvalid)
	}
	if err != nil {
		return DumpStats{}, err
	}
	return DumpStats{
		Freezing: µs(d.GetFreezingTime()), Frozen: µs(d.GetFrozenTime()), Memory: µs(d.GetMemdumpTime()), Write: µs(d.GetMemwriteTime()),
		Scanned: pages(d.GetPagesScanned() + d.GetShpagesScanned()),
		Skipped: pages(d.GetPagesSkippedParent() + d.GetShpagesSkippedParent()),
		Written: pages(d.GetPagesWritten() + d.GetShpagesWritten()),
		Lazy:    pages(d.GetPagesLazy()),
	}, nil
}

// ReadRestoreStats reads the statistics of the last restore in a work directory.
func ReadRestoreStats(work *os.File) (RestoreStats, error) {
	entry, err := readStats(work, stats.StatsRestore)
	r := entry.GetRestore()
	if err == nil && r == nil {
		err = fmt.Errorf("cannot read %s: it is of no restore: %w", stats.StatsRestore, fs.ErrInvalid)
	}
	if err != nil {
		return RestoreStats{}, err
	}
	return RestoreStats{Forking: µs(r.GetForkingTime()), Restore: µs(r.GetRestoreTime()), Restored: pages(r.GetPagesRestored())}, nil
}

// readStats reads a file by descriptor: the reader of go-criu's joins names, and trusts the length in the file.
func readStats(dir *os.File, name string) (*stats.StatsEntry, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxStats))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	entry, err := decodeStats(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	return entry, nil
}

// decodeStats checks the two magic numbers and the length before the message.
func decodeStats(data []byte) (*stats.StatsEntry, error) {
	if len(data) < stats.PayloadOffset ||
		binary.LittleEndian.Uint32(data[stats.PrimaryMagicOffset:]) != stats.ImgServiceMagic ||
		binary.LittleEndian.Uint32(data[stats.SecondaryMagicOffset:]) != stats.StatsMagic {
		return nil, fmt.Errorf("these are no statistics of criu: %w", fs.ErrInvalid)
	}
	payload := data[stats.PayloadOffset:]
	if size := binary.LittleEndian.Uint32(data[stats.SizeOffset:]); uint64(size) != uint64(len(payload)) {
		return nil, fmt.Errorf("%d bytes of %d: %w", len(payload), size, io.ErrUnexpectedEOF)
	}
	entry := &stats.StatsEntry{}
	if err := entry.UnmarshalVT(payload); err != nil {
		return nil, errors.Join(fs.ErrInvalid, err)
	}
	return entry, nil
}

func µs(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }
func pages(n uint64) int64      { return int64(n) * pageSize }
