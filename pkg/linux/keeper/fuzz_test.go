package keeper

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// pair is a connected pair of sockets.
func pair(t testing.TB) (ours, theirs *net.UnixConn) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// FuzzFrame: whatever a client sends, with however many descriptors, a frame is read or refused; what passes the checks of a request leads nowhere but
// where the keeper keeps such things; and no descriptor is left.
func FuzzFrame(f *testing.F) {
	frame := func(text, body string, files uint32) []byte {
		var b []byte
		for _, n := range []uint32{uint32(len(text)), uint32(len(body)), files} {
			b = binary.LittleEndian.AppendUint32(b, n)
		}
		return append(b, text+body...)
	}
	for _, text := range []string{
		`{"protocol":2,"verb":"start","key":{"name":"web","instance":1},"start":{"dir":"/run/x/state/web/1","cgroup":"/sys/fs/cgroup/web/1","log":{"dir":"/log"},"files":["a"],"patience":-1}}`,
		`{"protocol":2,"verb":"exec","key":{"name":"web","instance":1},"exec":{"cgroup":"/sys/fs/cgroup/web/1/exec-a"}}`,
		`{"protocol":2,"verb":"keep","start":{"sandbox":{"key":"group:a","kinds":["net","user"]}}}`,
		`{"verb":"release","key":{"name":"..\u0000","instance":18446744073709551615},"sandboxes":["../x"]}`,
		`{"verb":"stop","signal":"SIGRTMAX","timeout":-9223372036854775808}`,
	} {
		f.Add(frame(text, "body", 1), uint8(1))
		f.Add(frame(text, "", 0), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, descriptors uint8) {
		ours, theirs := pair(t)
		defer ours.Close()
		go func() {
			defer theirs.Close()
			var fds []int
			for range descriptors {
				fds = append(fds, 2)
			}
			half := len(data) / 2
			theirs.Write(data[:half])
			theirs.WriteMsgUnix(append(data[half:], 0), unix.UnixRights(fds...), nil)
		}()
		ours.SetReadDeadline(time.Now().Add(10 * time.Second))
		var req request
		body, files, err := receive(ours, &req)
		if err != nil {
			if len(files) > 0 {
				t.Error("files beside an error")
			}
			return
		}
		defer closeAll(files)
		if req.Key.check() == nil && (strings.ContainsAny(req.Key.Name, "/\x00") || strings.Trim(req.Key.Name, ".") == "" && len(req.Key.Name) < 3) {
			t.Errorf("key %q passes", req.Key.Name)
		}
		if req.Exec.check(req.Key) == nil && strings.Contains(req.Exec.Cgroup, "..") && !strings.Contains(req.Key.Name, "..") && strings.Contains(req.Exec.Cgroup, "/../") {
			t.Errorf("cgroup %q passes", req.Exec.Cgroup)
		}
		_ = req.Start.Sandbox.check()
		_ = believePlaces(req.Key, req.Start.Log, req.Start.Cgroup, req.Start.OOM)
		_ = (&process.Program{}).UnmarshalBinary(body)
		_, _ = parseSignal(req.Signal)
	})
}

// FuzzRecord: a record that is believed is one of this instance: by what it says, processes are killed.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"pid":2,"startTime":1,"bootID":"x","starts":1,"key":{"name":"web","instance":1},"log":{"dir":"/log/web"},"cgroup":"/sys/fs/cgroup/p/web/1","oom":"/sys/fs/cgroup/p/web/1/memory.events"}`))
	f.Add([]byte(`{"pid":1,"starts":1,"key":{"name":"web","instance":1},"log":{"dir":"/log/../etc"},"cgroup":"/sys/fs/cgroup/p/web/1/../../../x/web/1"}`))
	f.Add([]byte(`{"pid":-1,"starts":9223372036854775807,"key":{"name":"web","instance":1},"sandbox":{"key":"..","kinds":["pid"]},"cgroup":"/web/1"}`))
	key := Key{"web", 1}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r record
		if json.Unmarshal(data, &r) != nil || r.believe(key, false) != nil {
			return
		}
		if r.Pid <= 1 || r.Pid > maxPid || r.Key != key || !strings.HasSuffix(r.Cgroup, "/web/1") || strings.Contains(r.Cgroup, "/../") || strings.ContainsRune(r.Cgroup+r.Log.Dir+r.OOM, 0) {
			t.Errorf("believed: %+v", r)
		}
	})
}
