package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// deadlines is a response whose connection is a pipe.
type deadlines struct {
	http.ResponseWriter
	conn net.Conn
}

func (d deadlines) SetReadDeadline(t time.Time) error { return d.conn.SetReadDeadline(t) }

// A body that comes byte by byte is cut, however long each of its readers takes in between; one that comes at once is not.
func TestPace(t *testing.T) {
	for name, test := range map[string]struct {
		pause, work time.Duration // of the sender before each of its pieces, of the reader after each read
		piece       int
		want        error
	}{
		"fast":                {0, 0, pacePiece, io.EOF},
		"fast, slow disk":     {0, time.Minute, pacePiece, io.EOF},
		"slow but steady":     {paceTimeout - time.Second, 0, pacePiece, io.EOF},
		"in drops":            {time.Second, 0, 1 << 10, errTooSlow},
		"in drops, slow disk": {time.Second, time.Minute, 1 << 10, io.EOF},
		"never":               {time.Hour, 0, 1, errTooSlow},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				theirs, ours := net.Pipe()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					defer theirs.Close()
					for range 4 * pacePiece / test.piece {
						time.Sleep(test.pause)
						if _, err := theirs.Write(make([]byte, test.piece)); err != nil {
							return
						}
					}
				}()
				body := &paced{body: ours, control: http.NewResponseController(deadlines{conn: ours})}
				var err error
				for buffer := make([]byte, pacePiece); err == nil; time.Sleep(test.work) {
					_, err = body.Read(buffer)
				}
				if !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				ours.Close()
				<-sent
			})
		})
	}
}
