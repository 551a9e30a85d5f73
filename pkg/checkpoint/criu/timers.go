package criu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// A timerfd that comes again and again and was due when its process stood still has nothing left to wait in the image: criu sets it to that when it restores it, and
// timerfd_settime(2) takes 0 for never. With intervals as short as a dump takes that is each one. MendTimers gives those a nanosecond.

// The files of an image, see criu's images/fdinfo.proto and timerfd.proto. A message is preceded by its length, the first by two numbers.
const (
	filesImage   = "files.img"
	filesHeader  = 8
	fieldTimer   = 12 // of a file
	fieldSeconds = 7  // of a timer: what is left, and how often it comes
	fieldNanos   = 8
	fieldEvery   = 9
	fieldEveryNs = 10
)

// maxFilesImage bounds what is read of it.
const maxFilesImage = 256 << 20

// MendTimers makes timers of an image go on that are due. The image is complete, and nobody else uses it.
func MendTimers(images *os.File) error {
	fd, err := unix.Openat(int(images.Fd()), filesImage, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no process has a file
	}
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", filesImage, err)
	}
	f := os.NewFile(uintptr(fd), filesImage)
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFilesImage))
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", filesImage, err)
	}
	places, err := dueTimers(text)
	if err != nil {
		return fmt.Errorf("cannot understand %s: %w", filesImage, err)
	}
	for _, at := range places {
		if _, err := f.WriteAt([]byte{1}, int64(at)); err != nil {
			return fmt.Errorf("cannot write %s: %w", filesImage, err)
		}
	}
	return nil
}

// dueTimers are the places of the nanoseconds, each of them 0, that such timers have left.
func dueTimers(text []byte) (places []int, err error) {
	for at := filesHeader; at < len(text); {
		if len(text)-at < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		end := at + 4 + int(binary.LittleEndian.Uint32(text[at:]))
		if end > len(text) {
			return nil, io.ErrUnexpectedEOF
		}
		at += 4
		err := fields(text[:end], at, func(number, from, to int, _ uint64) error {
			if number != fieldTimer {
				return nil
			}
			if place := dueTimer(text[:to], from); place > 0 {
				places = append(places, place)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		at = end
	}
	return places, nil
}

// dueTimer is the place in one timer, 0 if it is none of those.
func dueTimer(text []byte, at int) (place int) {
	left, every := uint64(0), uint64(0)
	err := fields(text, at, func(number, from, to int, value uint64) error {
		switch number {
		case fieldSeconds, fieldNanos:
			left |= value
		case fieldEvery, fieldEveryNs:
			every |= value
		}
		if number == fieldNanos && to-from == 1 {
			place = from
		}
		return nil
	})
	if err != nil || left != 0 || every == 0 {
		return 0
	}
	return place
}

// fields calls a function for each field of a protobuf message, with where its value is, and the value if it is a number. See protobuf's encoding guide.
func fields(text []byte, at int, each func(number, from, to int, value uint64) error) error {
	for at < len(text) {
		key, n := binary.Uvarint(text[at:])
		if n <= 0 {
			return io.ErrUnexpectedEOF
		}
		from, to, value := at+n, 0, uint64(0)
		switch key & 7 {
		case 0:
			value, n = binary.Uvarint(text[from:])
			if n <= 0 {
				return io.ErrUnexpectedEOF
			}
			to = from + n
		case 1:
			to = from + 8
		case 2:
			size, n := binary.Uvarint(text[from:])
			if n <= 0 || size > uint64(len(text)) {
				return io.ErrUnexpectedEOF
			}
			from += n
			to = from + int(size)
		case 5:
			to = from + 4
		default:
			return fmt.Errorf("a field of type %d: %w", key&7, fs.ErrInvalid)
		}
		if to > len(text) {
			return io.ErrUnexpectedEOF
		}
		if err := each(int(key>>3), from, to, value); err != nil {
			return err
		}
		at = to
	}
	return nil
}
