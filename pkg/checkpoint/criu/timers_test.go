package criu_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// timerFile is an entry of files.img: a timerfd with so much left, and such an interval, in nanoseconds.
func timerFile(left, every byte) []byte {
	timer := []byte{1 << 3, 5, 2 << 3, 0, 3<<3 | 2, 2, 8, 1, 4 << 3, 1, 5 << 3, 1, 6 << 3, 0, 7 << 3, 0, 8 << 3, left, 9 << 3, 0, 10 << 3, every}
	file := append([]byte{1 << 3, 17, 2 << 3, 5, 12<<3 | 2, byte(len(timer))}, timer...)
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(file))), file...)
}

func TestMendTimers(t *testing.T) {
	dir := t.TempDir()
	images, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer images.Close()
	if err := criu.MendTimers(images); err != nil {
		t.Errorf("an image without files: %v", err)
	}
	header := []byte("12345678")
	other := []byte{6, 0, 0, 0, 1 << 3, 1, 2 << 3, 6, 8<<3 | 2, 0}
	before := bytes.Join([][]byte{header, timerFile(0, 9), other, timerFile(5, 9), timerFile(0, 0), timerFile(0, 3)}, nil)
	want := bytes.Join([][]byte{header, timerFile(1, 9), other, timerFile(5, 9), timerFile(0, 0), timerFile(1, 3)}, nil)
	name := filepath.Join(dir, "files.img")
	for _, tt := range []struct {
		name          string
		before, after []byte
		fails         bool
	}{
		{"timers", before, want, false},
		{"nothing", header, header, false},
		{"a torn one", before[:len(before)-1], before[:len(before)-1], true},
		{"a torn length", append(bytes.Clone(header), 1, 2), append(bytes.Clone(header), 1, 2), true},
		{"a long one", append(bytes.Clone(header), 255, 255, 255, 255, 1), append(bytes.Clone(header), 255, 255, 255, 255, 1), true},
	} {
		if err := os.WriteFile(name, tt.before, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := criu.MendTimers(images); (err != nil) != tt.fails {
			t.Errorf("%s: got %v", tt.name, err)
		}
		if after, _ := os.ReadFile(name); !bytes.Equal(after, tt.after) {
			t.Errorf("%s: got %x, want %x", tt.name, after, tt.after)
		}
	}
}
