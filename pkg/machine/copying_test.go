package machine

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/checkpoint-restore/go-criu/v8/stats"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// tracker is a kernel and a criu on it that can tell what memory changes.
type tracker struct {
	t      *testing.T
	dir    string
	writes []int64 // what is written in each round; -1: it fails
	asked  []*rpc.CriuOpts
}

// begin is a criu that serves one request.
func (k *tracker) begin(context.Context) (*criu.Conn, func(), error) {
	conn, theirs, err := criu.Pair()
	if err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		k.serve(theirs)
	}()
	return conn, func() { conn.Close(); <-done }, nil
}

func (k *tracker) serve(f *os.File) {
	buf := make([]byte, 1<<16)
	n, err := unix.Read(int(f.Fd()), buf)
	req := &rpc.CriuReq{}
	if err != nil || n == 0 || req.UnmarshalVT(buf[:n]) != nil {
		return
	}
	if req.GetType() != rpc.CriuReqType_SINGLE_PRE_DUMP {
		k.t.Errorf("asked for %v", req.GetType())
	}
	bytes := k.writes[len(k.asked)]
	k.asked = append(k.asked, req.GetOpts())
	if bytes >= 0 {
		writeStats(k.t, k.dir, bytes)
	}
	resp, err := (&rpc.CriuResp{Type: req.Type, Success: new(bytes >= 0)}).MarshalVT()
	if err != nil {
		k.t.Error(err)
	}
	unix.Write(int(f.Fd()), resp)
}

// writeStats writes statistics as criu does.
func writeStats(t *testing.T, dir string, bytes int64) {
	pages := uint64(bytes) / uint64(os.Getpagesize())
	body, err := (&stats.StatsEntry{Dump: &stats.DumpStatsEntry{
		FreezingTime: new(uint32), FrozenTime: new(uint32), MemdumpTime: new(uint32), MemwriteTime: new(uint32),
		PagesScanned: new(uint64), PagesSkippedParent: new(uint64), PagesWritten: &pages, IrmapResolve: new(uint32), PagesLazy: new(uint64),
	}}).MarshalVT()
	if err != nil {
		t.Error(err)
	}
	var text []byte
	for _, n := range []uint32{stats.ImgServiceMagic, stats.StatsMagic, uint32(len(body))} {
		text = binary.LittleEndian.AppendUint32(text, n)
	}
	if err := os.WriteFile(filepath.Join(dir, stats.StatsDump), append(text, body...), 0o600); err != nil {
		t.Error(err)
	}
}

// Rounds go on while each has much less to copy than the one before, on top of which it is.
func TestCopyingEnds(t *testing.T) {
	const mib = 1 << 20
	for name, test := range map[string]struct {
		rounds int
		writes []int64
		parent string
	}{
		"as often as asked":  {3, []int64{1000 * mib, 100 * mib, 10 * mib}, "../pre-2"},
		"once":               {1, []int64{1000 * mib}, "../pre-0"},
		"little is left":     {9, []int64{1000 * mib, 100 * mib, mib / 2}, "../pre-2"},
		"little was there":   {9, []int64{mib / 2}, "../pre-0"},
		"it writes as fast":  {9, []int64{1000 * mib, 800 * mib}, "../pre-1"},
		"it writes too much": {9, []int64{100 * mib, 20 * mib, 30 * mib}, "../pre-2"},
	} {
		t.Run(name, func(t *testing.T) {
			c, k := newCopying(t, test.writes)
			parent, err := c.run(t.Context(), test.rounds)
			if err != nil || parent != test.parent || len(k.asked) != len(test.writes) {
				t.Errorf("%q, %v after %d rounds", parent, err, len(k.asked))
			}
			for i, o := range k.asked {
				above := ""
				if i > 0 {
					above = "../pre-" + string(rune('0'+i-1))
				}
				if o.GetParentImg() != above || !o.GetTrackMem() || o.GetPid() != 77 || !slices.Equal(o.GetExternal(), []string{"mnt[/a]:/a"}) {
					t.Errorf("round %d: %v", i, o)
				}
			}
		})
	}
}

func TestCopyingFails(t *testing.T) {
	c, k := newCopying(t, []int64{1 << 30, -1})
	if parent, err := c.run(t.Context(), 9); err == nil || !strings.Contains(err.Error(), "beforehand") || parent != "" {
		t.Errorf("a round fails: %q, %v", parent, err)
	}
	k.asked = nil
	c.begin = func(context.Context) (*criu.Conn, func(), error) { return nil, nil, unix.ENOMEM }
	if _, err := c.run(t.Context(), 9); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("criu cannot be started: %v", err)
	}
}

func newCopying(t *testing.T, writes []int64) (copying, *tracker) {
	k := &tracker{t: t, dir: t.TempDir(), writes: writes}
	work, err := os.Open(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { work.Close() })
	return copying{
		begin: k.begin,
		mkdir: func(name string) (*os.File, error) {
			if err := os.MkdirAll(filepath.Join(k.dir, name), 0o700); err != nil {
				return nil, err
			}
			return os.Open(filepath.Join(k.dir, name))
		},
		options: criu.Options{WorkDir: work, Pid: 77, Externals: []string{criu.Mount("/a", "/a")}},
	}, k
}
