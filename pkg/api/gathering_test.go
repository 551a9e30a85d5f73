package api

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// flushed is a response that counts how often it is flushed, and what of it is.
type flushed struct {
	bytes.Buffer
	flushes, sent int
}

func (f *flushed) Header() http.Header              { return http.Header{} }
func (f *flushed) WriteHeader(int)                  {}
func (f *flushed) SetWriteDeadline(time.Time) error { return nil }
func (f *flushed) FlushError() error {
	f.flushes++
	f.sent = f.Len()
	return nil
}

// A container that writes one empty line after the other costs a flush for each 32 KiB, and what is followed by nothing is sent nevertheless.
func TestLogLinesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10 * gatherBytes
		w := &flushed{}
		o := &output{w: w, control: http.NewResponseController(w)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- o.lines(func(yield func(LogLine, error) bool) {
				for range n {
					yield(LogLine{Bytes: []byte("\n")}, nil)
				}
				yield(LogLine{Bytes: []byte("last\n")}, nil)
				<-ctx.Done()
			}, LogOptions{Follow: true})
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if w.sent != n+len("last\n") || w.flushes != 11 {
			t.Errorf("%d bytes sent in %d pieces", w.sent, w.flushes)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
