package process

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The arena is where images are mapped: far from a Go program's own places on both architectures (its heap is at
// 0xc000000000 and 0x4000000000), from the parker's at 0x400000, and from where the kernel maps by itself, even with
// the 39 bits of address that arm64 can be built for. A room is for one image, and is taken only until its child parks.
const (
	arena     = 0x10_0000_0000
	roomSize  = 32 << 20 // more than the largest program takes
	roomCount = 1 << 10
)

// image is memory that a parked child shares with its starter.
type image struct {
	file    *os.File // a memfd
	fd      int
	words   int
	address uintptr // 0 if this process has it not mapped
}

func newImage() (*image, error) {
	fd, err := unix.MemfdCreate("program", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("cannot make an image: %w", err)
	}
	return &image{file: os.NewFile(uintptr(fd), "program"), fd: fd}, nil
}

// allot gives it so many words, which are zero, and maps it where the child will. Nobody can change its size any more.
func (m *image) allot(words int) (memory []uint64, err error) {
	m.words = words
	if err = unix.Ftruncate(m.fd, int64(m.size())); err == nil {
		_, err = unix.FcntlInt(uintptr(m.fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW)
	}
	if err == nil {
		memory, err = m.mmap()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make an image of %d bytes: %w", m.size(), err)
	}
	return memory, nil
}

func (m *image) size() int { return m.words * wordSize }

// mmap takes a free room. The first to be tried is one of the descriptor's own, which no other image of this process has.
func (m *image) mmap() ([]uint64, error) {
	if m.size() > roomSize {
		return nil, unix.E2BIG
	}
	for i := range roomCount {
		room := uintptr(arena + (m.fd+i)%roomCount*roomSize)
		at, err := unix.MmapPtr(m.fd, 0, unsafe.Add(nil, room), uintptr(m.size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED_NOREPLACE)
		switch {
		case err == nil:
			m.address = uintptr(at)
			return unsafe.Slice((*uint64)(at), m.words), nil
		case err != unix.EEXIST:
			return nil, err
		}
	}
	return nil, unix.EAGAIN
}

// munmap frees the room. The memory must not be used any more.
func (m *image) munmap() {
	if m.address != 0 {
		_ = unix.MunmapPtr(unsafe.Add(nil, m.address), uintptr(m.size()))
		m.address = 0
	}
}

// read copies some words, from the first or a later one on.
func (m *image) read(into []uint64, first int) error {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&into[0])), len(into)*wordSize)
	_, err := m.file.ReadAt(b, int64(first)*wordSize)
	return err
}

// used tells whether somebody has the image mapped, so that it could be written to: then the kernel refuses to seal it.
func (m *image) used() (bool, error) {
	conn, err := m.file.SyscallConn()
	if err != nil {
		return false, err
	}
	var seal error
	err = conn.Control(func(fd uintptr) { _, seal = unix.FcntlInt(fd, unix.F_ADD_SEALS, unix.F_SEAL_WRITE) })
	return seal != nil, err
}
