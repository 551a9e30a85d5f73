package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	parts["heap"] = heap
	parts["threads"] = threads
	parts["mapped"] = mapped
	parts["clock"] = clock
}

// heap fills so many MiB.
func heap(arg string) func() error {
	data := make([]byte, number(arg, 16)<<20)
	x := uint64(88172645463325252)
	for i := 0; i+8 <= len(data); i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		for k := range 8 {
			data[i+k] = byte(x >> (8 * k))
		}
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Checksum(data, table)
	return func() error { return want("checksum", crc32.Checksum(data, table), sum) }
}

// threads lets so many count.
func threads(arg string) func() error {
	counts := make([]atomic.Int64, number(arg, 64))
	tids := make([]int, len(counts))
	ready := make(chan bool)
	for i := range counts {
		go func() {
			runtime.LockOSThread()
			tids[i] = unix.Gettid()
			ready <- true
			for {
				counts[i].Add(1)
				time.Sleep(20 * time.Millisecond)
			}
		}()
	}
	for range counts {
		<-ready
	}
	return func() error {
		before := make([]int64, len(counts))
		for i := range counts {
			before[i] = counts[i].Load()
			if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tids[i])); err != nil {
				return err
			}
		}
		for i := range counts {
			if !within(func() bool { return counts[i].Load() > before[i] }) {
				return fmt.Errorf("thread %d stands still", i)
			}
		}
		return nil
	}
}

// within waits for something.
func within(is func() bool) bool {
	for range 2000 {
		if is() {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return is()
}

// mapped maps a file, for itself and for all, and changes it.
func mapped(string) func() error {
	const name, size = "/tmp/mapped", 1 << 16
	must("write", os.WriteFile(name, make([]byte, size), 0o600))
	f := got[*os.File]("open")(os.OpenFile(name, os.O_RDWR, 0))
	shared := got[[]byte]("mmap")(unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
	private := got[[]byte]("mmap")(unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE))
	anonymous := got[[]byte]("mmap")(unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS))
	private[5000] = 'p'
	anonymous[7000] = 'a'
	round := byte(0)
	return func() error {
		shared[6000] = round
		text := make([]byte, size)
		_, err := f.ReadAt(text, 0)
		round++
		return errors.Join(err, want("file", text[6000], round-1), want("private", private[5000], 'p'), want("shared", shared[5000], 0), want("anonymous", anonymous[7000], 'a'))
	}
}

// clock watches that time goes on and no timer comes early.
func clock(string) func() error {
	now := func() time.Duration {
		var ts unix.Timespec
		must("clock", unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
		return time.Duration(ts.Nano())
	}
	var last, early atomic.Int64
	last.Store(int64(now()))
	var backward atomic.Int64
	go func() {
		for {
			at := int64(now())
			if before := last.Swap(at); at < before {
				backward.Store(before - at)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	for _, d := range []time.Duration{time.Second / 2, time.Second, 2 * time.Second, 5 * time.Second} {
		due := now() + d
		time.AfterFunc(d, func() {
			if at := now(); at < due {
				early.Store(int64(due - at))
			}
		})
	}
	return func() error {
		return errors.Join(want("clock went back by", backward.Load(), 0), want("a timer came early by", early.Load(), 0))
	}
}

func equal[T comparable](what string, got, want []T) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}

func ptr(v *int32) uintptr { return uintptr(unsafe.Pointer(v)) }
