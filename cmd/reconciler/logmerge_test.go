package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// stamped is a line as the API gives it.
func stamped(at time.Time, text string) string {
	return at.UTC().Format(api.TimeFormat) + " " + text + "\n"
}

// mergeAll merges what some streams say until all have ended.
func mergeAll(t *testing.T, follow bool, bodies ...io.Reader) (texts []string) {
	t.Helper()
	m := newMerger(len(bodies), follow)
	for i, body := range bodies {
		go m.read(t.Context(), i, body)
	}
	for line := range m.lines(t.Context()) {
		if line.err == nil {
			texts = append(texts, fmt.Sprintf("%d:%s", line.from, line.text))
		} else if line.err != io.EOF {
			t.Error(line.err)
		}
	}
	return texts
}

func TestMerge(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	long := strings.Repeat("x", maxMerged)
	var a, b strings.Builder
	var want []string
	for i := range 200 {
		to, from := &a, 0
		if i%7 < 3 {
			to, from = &b, 1
		}
		text := fmt.Sprintf("line %d", i)
		to.WriteString(stamped(at.Add(time.Duration(i)*time.Millisecond), text))
		want = append(want, fmt.Sprintf("%d:%s", from, text))
	}
	for _, follow := range []bool{false, true} {
		got := mergeAll(t, follow, strings.NewReader(a.String()), strings.NewReader(b.String()), strings.NewReader(""))
		if !slices.Equal(got, want) {
			t.Errorf("follow %v: %q", follow, got)
		}
	}
	got := mergeAll(t, false, strings.NewReader(stamped(at, "one "+long)+stamped(at, "two")+"unfinished"))
	if all := strings.ReplaceAll(strings.Join(got, ""), "0:", ""); all != "one "+long+"twounfinished" {
		t.Errorf("%d bytes: %.100q", len(all), all)
	}
}

// A stream that is followed and says nothing holds nobody up for long, and not for each line: else this takes minutes.
func TestMergeSilent(t *testing.T) {
	silent, w := io.Pipe()
	defer w.Close()
	var text strings.Builder
	for i := range 2000 {
		text.WriteString(stamped(time.Now(), fmt.Sprint(i)))
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	m := newMerger(2, true)
	go m.read(ctx, 0, bufio.NewReader(strings.NewReader(text.String())))
	go m.read(ctx, 1, silent)
	n := 0
	for line := range m.lines(ctx) {
		if line.err != nil {
			break
		}
		n++
	}
	if n != 2000 {
		t.Errorf("%d lines", n)
	}
}
