package image

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// What costs an archive nothing costs its reader little: neither messages of no bytes, nor fields of none.
func TestBounds(t *testing.T) {
	head := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, commonMagic), kindsByName["mountpoints-#.img"].magic)
	var f Facts
	if err := f.mounts(memory{"mountpoints-1.img": append(head, make([]byte, 16<<20)...)}); !errors.Is(err, fs.ErrInvalid) || len(f.Mounts) > maxMounts {
		t.Errorf("mounts: %v, %d of them", err, len(f.Mounts))
	}
	var e seccompEntry
	if err := unmarshal([]byte(strings.Repeat("\x0a\x00", 8<<20)), &e); !errors.Is(err, fs.ErrInvalid) || len(e.Filters) > maxRepeated {
		t.Errorf("filters: %v, %d of them", err, len(e.Filters))
	}
}
