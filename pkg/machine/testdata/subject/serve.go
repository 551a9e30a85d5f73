package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
)

// serve answers over HTTP at :80 with a count, and at :7 tells who sends a stream of numbers whether one was lost, or came twice, by sending them back.
func serve([]string) {
	var hits atomic.Int64
	stream := got[net.Listener]("listen")(net.Listen("tcp", ":7"))
	go func() {
		for {
			c, err := stream.Accept()
			must("accept", err)
			go numbers(c)
		}
	}()
	l, err := net.Listen("tcp", ":80")
	must("listen", err)
	fmt.Println("up")
	must("serve", http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, hits.Add(1)) })))
}

// numbers sends back a stream of numbers, and ends at one that is not the next.
func numbers(c net.Conn) {
	defer c.Close()
	one := make([]byte, 8)
	for next := uint64(0); ; next++ {
		if _, err := io.ReadFull(c, one); err != nil {
			if !errors.Is(err, io.EOF) {
				fmt.Println("stream ended:", err)
			}
			return
		}
		if n := binary.BigEndian.Uint64(one); n != next {
			fmt.Println("WRONG", n, "is not", next)
			os.Exit(4)
		}
		if _, err := c.Write(one); err != nil {
			fmt.Println("stream ended:", err)
			return
		}
	}
}
