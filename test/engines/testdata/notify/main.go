// Command notify says that a service is ready, as sd_notify(3) does.
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err == nil {
		_, err = conn.Write([]byte("READY=1"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
