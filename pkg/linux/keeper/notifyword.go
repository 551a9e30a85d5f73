package keeper

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// maxMessage is the longest message that is heeded, and maxStatus how much is kept of what one says for people.
const (
	maxMessage = 64 << 10
	maxStatus  = 256
)

// heed draws from a message what is said then. As systemd does it, see sd_notify(3): one that has a NUL before its end is none; of two texts the first counts;
// READY=1 beside RELOADING=1 is a reload that is done already; what is not known is left to others.
func heed(said spec.Notified, message []byte) spec.Notified {
	message = bytes.TrimSuffix(message, []byte{0})
	if bytes.IndexByte(message, 0) >= 0 {
		return said
	}
	var ready, reloading, stopping bool
	var status []byte
	for line := range bytes.SplitSeq(message, []byte("\n")) {
		switch string(line) {
		case "READY=1":
			ready = true
		case "RELOADING=1":
			reloading = true
		case "STOPPING=1":
			stopping = true
		}
		if text, ok := bytes.CutPrefix(line, []byte("STATUS=")); ok && status == nil {
			status = text
		}
	}
	if status != nil {
		said.Status = printable(status)
	}
	switch {
	case ready && !stopping:
		said.Ready, said.Started = true, true
	case reloading || stopping:
		said.Ready = false
	}
	return said
}

// printable is the beginning of a text, such as moves no cursor and hides nothing.
func printable(text []byte) string {
	s := string(text[:min(len(text), maxStatus)])
	if len(text) > maxStatus {
		s = strings.ToValidUTF8(s, "")
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
