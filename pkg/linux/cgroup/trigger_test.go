package cgroup

import (
	"testing"
	"time"
)

// A window that the kernel does not take becomes the next one that it does, with the same share of it to be lost.
func TestLengthenedTriggers(t *testing.T) {
	for in, want := range map[trigger]string{
		{"some", 150 * time.Millisecond, time.Second}:             "some 300000 2000000",
		{"full", 500 * time.Millisecond, 500 * time.Millisecond}:  "full 2000000 2000000",
		{"some", time.Millisecond, 2 * time.Second}:               "some 1000 2000000",
		{"some", 3 * time.Second, 3 * time.Second}:                "some 4000000 4000000",
		{"some", 100 * time.Millisecond, 9 * time.Second}:         "some 111111 10000000",
		{"some", 100 * time.Millisecond, 10 * time.Second}:        "some 100000 10000000",
		{"some", 100 * time.Microsecond, 1999 * time.Millisecond}: "some 100 2000000",
	} {
		if got := in.lengthened().String(); got != want {
			t.Errorf("%s becomes %q, want %q", in, got, want)
		}
	}
}
