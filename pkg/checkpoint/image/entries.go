package image

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// source is where images are read from: one that is committed, or one that is being written.
type source interface {
	// list are the paths of the files, in order.
	list() []string
	// size is how many bytes a file has when it is unpacked.
	size(name string) (int64, error)
	// open reads a file as it was before it was packed.
	open(name string) (io.ReadCloser, error)
	// link is where a link leads to, "" for none.
	link(name string) string
}

// maxMessage bounds one message; the largest are of a process with hundreds of thousands of mappings.
const maxMessage = 64 << 20

// messages gives each message of one of criu's images to do. With first only the first: what follows is not a message.
func messages(s source, name string, do func([]byte) error, first bool) error {
	k, err := kindOf(path.Base(name))
	if err != nil {
		return err
	}
	f, err := s.open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	if err := readMagic(r, k.magic); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for {
		data, err := nextMessage(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = do(data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if first {
			return nil
		}
	}
}

// readMagic reads what an image begins with.
func readMagic(r io.Reader, magic uint32) error {
	want := []uint32{commonMagic, magic}
	if magic == magicInventory {
		want = want[1:]
	}
	for _, w := range want {
		var got uint32
		if err := binary.Read(r, binary.LittleEndian, &got); err != nil || got != w {
			return fmt.Errorf("it does not begin as such an image does: %w", fs.ErrInvalid)
		}
	}
	return nil
}

func nextMessage(r io.Reader) ([]byte, error) {
	var head [4]byte
	n, err := io.ReadFull(r, head[:])
	if n == 0 && errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	size := binary.LittleEndian.Uint32(head[:])
	if err != nil || size > maxMessage {
		return nil, errWire("a message is cut off or too large")
	}
	// What a size says is believed as far as there are bytes.
	data, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err != nil {
		return nil, err
	}
	if len(data) != int(size) {
		return nil, errWire("a message is cut off")
	}
	return data, nil
}

// one reads an image of one message.
func one(s source, name string, to any) error {
	n := 0
	return errors.Join(messages(s, name, func(data []byte) error {
		if n++; n > 1 {
			return errWire("there is more than one message")
		}
		return unmarshal(data, to)
	}, false), atLeastOne(name, &n))
}

func atLeastOne(name string, n *int) error {
	if *n == 0 {
		return errWire(name + " is empty")
	}
	return nil
}

// each reads an image of many messages of one kind.
func each[T any](s source, name string, do func(*T) error) error {
	return messages(s, name, func(data []byte) error {
		var m T
		if err := unmarshal(data, &m); err != nil {
			return err
		}
		return do(&m)
	}, false)
}

// below are the names of the files in a directory of an image.
func below(s source, dir string) (names []string) {
	for _, p := range s.list() {
		if path.Dir(p) == dir {
			names = append(names, path.Base(p))
		}
	}
	return names
}

// withPrefix are those of names that begin so and end in .img.
func withPrefix(names []string, prefix string) (list []string) {
	for _, n := range names {
		if strings.HasPrefix(n, prefix) && strings.HasSuffix(n, ".img") {
			list = append(list, n)
		}
	}
	return list
}

// has tells whether a file is there; a process may have one of tens of thousands.
func has(s source, name string) bool {
	_, err := s.size(name)
	return err == nil
}
