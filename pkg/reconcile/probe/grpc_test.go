package probe_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/probe"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A server of HTTP/2 that is not ours understands the call, and is understood.
func TestGRPCServer(t *testing.T) {
	answers := map[string]func(http.ResponseWriter){
		"":     func(w http.ResponseWriter) { serve(w, 8, 1) },
		"shop": func(w http.ResponseWriter) { serve(w, 8, 2) },
		"more": func(w http.ResponseWriter) {
			serve(w, 0x10, 9, 0x1a, 2, 'h', 'i', 0x25, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0, 0, 0, 0, 8, 1)
		},
		"nothing": func(w http.ResponseWriter) { serve(w) },
		"none":    func(w http.ResponseWriter) { w.Header().Set("Grpc-Status", "5") },
		"down":    func(w http.ResponseWriter) { w.Header().Set("Grpc-Status", "14") },
		"odd":     func(w http.ResponseWriter) { w.Header().Set("Grpc-Status", "4711") },
		"web":     func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"proxy":   func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
		"empty":   func(http.ResponseWriter) {},
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.URL.Path != "/grpc.health.v1.Health/Check" || r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" || r.Host != l.Addr().String() {
			t.Errorf("asked by %+v", r)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) < 5 || int(binary.BigEndian.Uint32(body[1:5])) != len(body)-5 {
			t.Errorf("asked for %q, %v", body, err)
		}
		service := ""
		if message := body[5:]; len(message) > 0 {
			n, size := binary.Uvarint(message[1:])
			if service = string(message[1+size:]); message[0] != 0x0a || int(n) != len(service) {
				t.Errorf("asked for %q", message)
			}
		}
		if len(service) > 100 {
			service = "shop"
		}
		w.Header().Set("Content-Type", "application/grpc")
		answers[service](w)
	})}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	for service, says := range map[string]string{
		"": "", "shop": "its health is NOT_SERVING", "more": "", "nothing": "its health is UNKNOWN", "none": "status NOT_FOUND", "down": "status UNAVAILABLE",
		"odd": "status 4711", "web": "HTTP status 404", "proxy": "HTTP status 502", "empty": "without an answer", strings.Repeat("long", 60): "NOT_SERVING",
	} {
		p := spec.Probe{GRPC: &spec.GRPCProbe{Port: portOf(l.Addr()), Service: service}, Timeout: spec.Duration(5 * time.Second)}
		want(t, fmt.Sprintf("service %.10q", service), probe.Check(t.Context(), p, direct), says)
	}
}

// serve answers with a message.
func serve(w http.ResponseWriter, message ...byte) {
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write(grpcMessage(message...))
	w.Header().Set("Grpc-Status", "0")
}

func grpcMessage(message ...byte) []byte {
	return append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
}

// Frames of a peer, and what they are made of.
const (
	data, headersFrame, reset, settings, push, ping, goAway, update, continuation = 0, 1, 3, 4, 5, 6, 7, 8, 9

	ack, endStream, endHeaders, padded, priority = 1, 1, 4, 8, 0x20
)

func raw(kind, flags byte, stream uint32, payload ...byte) string {
	return string(probe.AppendFrame(nil, kind, flags, stream, payload))
}

var (
	hello   = raw(settings, 0, 0)
	ok      = raw(headersFrame, endHeaders, 1, 0x88)
	serving = raw(data, 0, 1, grpcMessage(8, 1)...)
)

func header(name, value string) []byte { return probe.AppendHeader(nil, name, value) }

// conversations are those of peers that are odd, broken or hostile, with what comes of them. They are the seeds of the fuzzer.
var conversations = map[string]struct{ said, says string }{
	"serving":             {hello + ok + serving, ""},
	"settings":            {raw(settings, 0, 0, 0, 3, 0, 0, 0, 9) + raw(settings, ack, 0) + ok + serving, ""},
	"in pieces":           {hello + ok + raw(data, 0, 1, 0, 0) + raw(data, 0, 1) + raw(data, 0, 1, 0, 0, 2, 8) + raw(data, endStream, 1, 1), ""},
	"padded":              {hello + raw(headersFrame, endHeaders|padded|priority, 1, 2, 0, 0, 0, 0, 16, 0x88, 0, 0) + raw(data, padded, 1, 3, 0, 0, 0, 0, 2, 8, 1, 9, 9, 9), ""},
	"continued":           {hello + raw(headersFrame, 0, 1, 0x88) + raw(continuation, 0, 1) + raw(continuation, endHeaders, 1, header("a", "b")...) + serving, ""},
	"others' frames":      {hello + raw(update, 0, 0, 0, 0, 1, 0) + raw(0xfa, 0xff, 7, 1, 2, 3) + raw(headersFrame, endHeaders, 3, 0x88) + raw(reset, 0, 3, 0, 0, 0, 8) + ok + serving, ""},
	"early status":        {hello + raw(headersFrame, endHeaders, 1, header(":status", "103")...) + ok + serving, ""},
	"table":               {hello + raw(headersFrame, endHeaders, 1, append([]byte{0x20, 0x88, 0xbe, 0x40}, header("grpc-encoding", "identity")[1:]...)...) + serving, ""},
	"nothing":             {"", "the connection was closed"},
	"HTTP/1":              {"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak HTTP/2"},
	"garbage":             {strings.Repeat("\xff", 100), "does not speak HTTP/2"},
	"zeroes":              {strings.Repeat("\x00", 100), "does not speak HTTP/2"},
	"no settings":         {ok + serving, "does not speak HTTP/2"},
	"settings alone":      {hello, "the connection was closed"},
	"half a frame":        {hello + ok[:10], "the connection was closed"},
	"huge frame":          {hello + "\xff\xff\xff\x00\x00\x00\x00\x00\x01", "a frame of 16777215 bytes"},
	"endless headers":     {hello + raw(headersFrame, 0, 1, 0x88) + strings.Repeat(raw(continuation, 0, 1, header("a", "b")...), 1000), "more than 128 frames"},
	"wide headers":        {hello + raw(headersFrame, 0, 1, 0x88) + strings.Repeat(raw(continuation, 0, 1, make([]byte, 16384)...), 10), "or 65536 bytes"},
	"endless pings":       {hello + strings.Repeat(raw(ping, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8), 1000), "more than 128 frames"},
	"endless settings":    {strings.Repeat(hello, 1000), "more than 128 frames"},
	"endless nothing":     {hello + ok + strings.Repeat(raw(data, 0, 1), 1000), "more than 128 frames"},
	"endless answer":      {hello + ok + raw(data, 0, 1, 0, 0xff, 0xff, 0xff, 0xff), "an answer of 4294967295 bytes"},
	"long answer":         {hello + ok + raw(data, 0, 1, make([]byte, 5000)...), "more than 4096 bytes"},
	"compressed":          {hello + ok + raw(data, 0, 1, 1, 0, 0, 0, 0), "compressed"},
	"answer breaks off":   {hello + ok + raw(data, endStream, 1, 0, 0, 0, 0, 2, 8), "in the middle of its answer"},
	"no answer":           {hello + ok + raw(headersFrame, endHeaders|endStream, 1, header("grpc-status", "0")...), "without an answer"},
	"no protobuf":         {hello + ok + raw(data, 0, 1, grpcMessage(0x0a, 0xff)...), "cannot be read"},
	"endless number":      {hello + ok + raw(data, 0, 1, grpcMessage(8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)...), "cannot be read"},
	"long text":           {hello + ok + raw(data, 0, 1, grpcMessage(0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)...), "cannot be read"},
	"group":               {hello + ok + raw(data, 0, 1, grpcMessage(0x0b)...), "cannot be read"},
	"unheard-of health":   {hello + ok + raw(data, 0, 1, grpcMessage(8, 0x80, 1)...), "its health is 128"},
	"answer before head":  {hello + serving, "without headers"},
	"trailers only":       {hello + raw(headersFrame, endHeaders|endStream, 1, append([]byte{0x88}, header("grpc-status", "12")...)...), "status UNIMPLEMENTED: it does not serve grpc.health.v1.Health"},
	"status of no number": {hello + raw(headersFrame, endHeaders|endStream, 1, header("grpc-status", "-1")...), "without an answer"},
	"reset":               {hello + ok + raw(reset, 0, 1, 0, 0, 0, 7), "it ends the call: REFUSED_STREAM"},
	"odd reset":           {hello + ok + raw(reset, 0, 1, 0xff, 0xff, 0xff, 0xff), "it ends the call: error 4294967295"},
	"short reset":         {hello + ok + raw(reset, 0, 1, 0), "it ends the call: it says not why"},
	"goaway":              {hello + raw(goAway, 0, 0, append([]byte{0, 0, 0, 0, 0, 0, 0, 11}, "too\x1b many"...)...), "it ends the connection: ENHANCE_YOUR_CALM, too? many"},
	"push":                {hello + raw(push, 0, 1, 0, 0, 0, 2, 0x88), "contradicts itself"},
	"continues nothing":   {hello + raw(continuation, endHeaders, 1, 0x88), "contradicts itself"},
	"interrupted headers": {hello + raw(headersFrame, 0, 1, 0x88) + raw(ping, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8), "contradicts itself"},
	"too much padding":    {hello + ok + raw(data, padded, 1, 200, 0), "contradicts itself"},
	"padding of nothing":  {hello + ok + raw(data, padded, 1), "contradicts itself"},
	"short priority":      {hello + raw(headersFrame, endHeaders|priority, 1, 0, 0), "contradicts itself"},
	"broken headers":      {hello + raw(headersFrame, endHeaders, 1, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "headers that cannot be read"},
	"short headers":       {hello + raw(headersFrame, endHeaders, 1, 0x00, 5, 'a'), "headers that cannot be read"},
}

// A peer that is odd is understood, one that is broken or hostile is a failure in words, soon and within bounds.
func TestGRPCPeers(t *testing.T) {
	for name, c := range conversations {
		port := peer(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, c.said)
			_ = conn.(*net.TCPConn).CloseWrite()
			silent(conn)
		})
		want(t, name, probe.Check(t.Context(), spec.Probe{GRPC: &spec.GRPCProbe{Port: port}, Timeout: spec.Duration(5 * time.Second)}, direct), c.says)
	}
	for name, answer := range map[string]func(net.Conn){
		"silence":            silent,
		"silence after half": func(c net.Conn) { _, _ = io.WriteString(c, hello+ok); silent(c) },
		"reads nothing":      func(c net.Conn) { time.Sleep(time.Second) },
	} {
		want(t, name, probe.Check(t.Context(), spec.Probe{GRPC: &spec.GRPCProbe{Port: peer(t, answer)}, Timeout: soon}, direct), "no answer within 50ms")
	}
}

// Settings and pings are answered as they must be, and answers of others are not.
func TestGRPCAcknowledges(t *testing.T) {
	var answers bytes.Buffer
	said := raw(settings, 0, 0, 0, 4, 0, 1, 0, 0) + raw(settings, ack, 0) + raw(ping, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8) + raw(ping, ack, 0, 8, 7, 6, 5, 4, 3, 2, 1) + ok + serving
	if status, err := probe.Hear(strings.NewReader(said), &answers); status != 1 || err != nil {
		t.Errorf("got %d, %v", status, err)
	}
	if got, want := answers.String(), raw(settings, ack, 0)+raw(ping, ack, 0, 1, 2, 3, 4, 5, 6, 7, 8); got != want {
		t.Errorf("answered %q, want %q", got, want)
	}
}

// Digits are unpacked as Huffman's code of RFC 7541 has them, and nothing else is.
func TestUnpackDigits(t *testing.T) {
	for packed, want := range map[string]string{
		"\x10\x01":                         "200", // appendix C.6.1 packs 302 as 6402, C.6.3 200 as 1001
		"\x64\x02":                         "302",
		"\x64\x0e\xff":                     "307",
		"\x07":                             "0",
		"\x0b\x7f":                         "15",
		"\x07\xff":                         "", // too much padding
		"\x9a\xca\xc8\xb2\x12\x34\xda\x8f": "", // grpc-status
		"":                                 "", "\xff": "", "\xff\xff\xff\xff": "",
	} {
		if got := probe.UnpackDigits(packed); got != want {
			t.Errorf("%x is %q, want %q", packed, got, want)
		}
	}
}

// Whatever a peer says, it ends, and within bounds.
func FuzzFrames(f *testing.F) {
	for _, c := range conversations {
		f.Add([]byte(c.said))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		from, answers := bytes.NewReader(said), &bytes.Buffer{}
		_, err := probe.Hear(from, answers)
		if read := len(said) - from.Len(); read > probe.MaxRead+9 {
			t.Errorf("read %d bytes", read)
		}
		if answers.Len() > probe.MaxRead {
			t.Errorf("answered by %d bytes", answers.Len())
		}
		if err != nil && (err.Error() == "" || len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\x00\x1b\n")) {
			t.Errorf("cannot be shown: %q", err)
		}
		if _, _, err := probe.ReadHeaders(said); err == nil && len(said) == 1 && said[0] == 0 {
			t.Error("half a header was read")
		}
	})
}
