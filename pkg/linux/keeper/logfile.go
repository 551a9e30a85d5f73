package keeper

import (
	"os"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"
)

// maxLogFile bounds the keeper's own log; one older file of that size is kept beside it.
const maxLogFile = 256 << 10

// boundedFile is a log file that is opened at the first write and turned over when it is full.
type boundedFile struct {
	path string

	mu   sync.Mutex
	f    *os.File
	size int64
}

// Write appends to the file.
func (b *boundedFile) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.f != nil && b.size+int64(len(p)) > maxLogFile {
		b.f.Close()
		b.f = nil
		os.Rename(b.path, b.path+".old")
	}
	if err := b.open(); err != nil {
		return 0, err
	}
	n, err := b.f.Write(p)
	b.size += int64(n)
	return n, err
}

func (b *boundedFile) open() error {
	if b.f != nil {
		return nil
	}
	f, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	b.f, b.size = f, info.Size()
	return nil
}

// catchPanics makes the runtime write there why it dies.
func (b *boundedFile) catchPanics() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open() == nil {
		debug.SetCrashOutput(b.f, debug.CrashOptions{}) // keeps a copy of the descriptor
	}
}
