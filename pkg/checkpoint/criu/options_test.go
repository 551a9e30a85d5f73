package criu

import (
	"errors"
	"io/fs"
	"reflect"
	"testing"
	"time"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
)

// What is always said: no word of a configuration file, of the environment or of criu's own defaults is left to decide it.
func TestRequestOfNothing(t *testing.T) {
	dir := OpenTempDir(t)
	got := Options{ImagesDir: dir}.request(rpc.CriuReqType_RESTORE)
	want := &rpc.CriuReq{Type: rpc.CriuReqType_RESTORE.Enum(), Opts: &rpc.CriuOpts{
		ImagesDirFd: new(int32(dir.Fd())), WorkDirFd: new(int32(dir.Fd())), LogFile: new("restore.log"), LogLevel: new(int32(2)),
		NotifyScripts: new(true), ManageCgroups: new(false), ManageCgroupsMode: rpc.CriuCgMode_IGNORE.Enum(), NetworkLock: rpc.CriuNetworkLockMethod_NFTABLES.Enum(),
	}}
	if !got.EqualVT(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestRequestOfEverything(t *testing.T) {
	images, work := OpenTempDir(t), OpenTempDir(t)
	o := Options{
		ImagesDir: images, WorkDir: work, Parent: "../older", Pid: 7, Root: "/stage",
		Externals:      []string{Mount("/data", "m0"), Namespace("net", 4026531840, "extnet"), File(0x1f, 0xabc)},
		Inherit:        map[string]int{"extnet": 4, File(0x1f, 0xabc): 5},
		JoinNamespaces: []JoinNamespace{{"ipc", "/proc/9/ns/ipc", ""}, {"user", "/proc/9/ns/user", "0,0"}},
		FreezeCgroup:   "/sys/fs/cgroup/x", LeaveRunning: true, TCPEstablished: true, TCPClose: true, TCPSkipInFlight: true, FileLocks: true, UnixExternal: true,
		ShellJob: true, OrphanPTSMaster: true, EmptyNetwork: true, NetworkLock: IPTables, GhostLimit: 1 << 24, LinkRemap: true, LazyPages: true, TrackMemory: true, AutoDedup: true,
		LSMProfile: "apparmor:web", LSMMountContext: "u:r:t:s0", PageServer: PageServer{"::1", 27}, SiblingOfCaller: true, WeakSysctls: true, CPU: CPUInstructions, Watched: []string{"/etc"}, LogLevel: 4, Timeout: 1500 * time.Millisecond,
	}
	for field, value := range reflect.ValueOf(o).Fields() {
		if value.IsZero() {
			t.Errorf("Options.%s is not in this test", field.Name)
		}
	}
	got := o.request(rpc.CriuReqType_DUMP)
	want := &rpc.CriuReq{Type: rpc.CriuReqType_DUMP.Enum(), Opts: &rpc.CriuOpts{
		ImagesDirFd: new(int32(images.Fd())), WorkDirFd: new(int32(work.Fd())), LogFile: new("dump.log"), LogLevel: new(int32(4)),
		NotifyScripts: new(true), ManageCgroups: new(false), ManageCgroupsMode: rpc.CriuCgMode_IGNORE.Enum(), NetworkLock: rpc.CriuNetworkLockMethod_IPTABLES.Enum(),
		IrmapScanPaths: []string{"/etc"},
		ParentImg:      new("../older"), Pid: new(int32(7)), Root: new("/stage"),
		External:     []string{"mnt[/data]:m0", "net[4026531840]:extnet", "file[1f:abc]"},
		InheritFd:    []*rpc.InheritFd{{Key: new("extnet"), Fd: new(int32(4))}, {Key: new("file[1f:abc]"), Fd: new(int32(5))}},
		JoinNs:       []*rpc.JoinNamespace{{Ns: new("ipc"), NsFile: new("/proc/9/ns/ipc")}, {Ns: new("user"), NsFile: new("/proc/9/ns/user"), ExtraOpt: new("0,0")}},
		FreezeCgroup: new("/sys/fs/cgroup/x"), LeaveRunning: new(true), TcpEstablished: new(true), TcpClose: new(true), TcpSkipInFlight: new(true), FileLocks: new(true),
		ExtUnixSk: new(true), ShellJob: new(true), OrphanPtsMaster: new(true), GhostLimit: new(uint32(1 << 24)), LinkRemap: new(true), LazyPages: new(true),
		TrackMem: new(true), AutoDedup: new(true), LsmProfile: new("apparmor:web"), LsmMountContext: new("u:r:t:s0"),
		Ps: &rpc.CriuPageServerInfo{Address: new("::1"), Port: new(int32(27))}, WeakSysctls: new(true), CpuCap: new(uint32(5)),
		Timeout: new(uint32(2)), EmptyNs: new(uint32(0x40000000)),
	}}
	if !got.EqualVT(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if !o.request(rpc.CriuReqType_RESTORE).GetOpts().GetRstSibling() {
		t.Error("a restore does not make a sibling")
	}
}

func TestOptionsThatCriuWouldMisunderstand(t *testing.T) {
	dir := OpenTempDir(t)
	for name, o := range map[string]Options{
		"no directory":   {Pid: 7},
		"no process":     {ImagesDir: dir},
		"init":           {ImagesDir: dir, Pid: 1},
		"foreign parent": {ImagesDir: dir, Pid: 7, Parent: "/etc"},
		"both":           {ImagesDir: dir, Pid: 7, TCPEstablished: true, TCPClose: true},
		"descriptor":     {ImagesDir: dir, Pid: 7, Inherit: map[string]int{"x": -1}},
	} {
		t.Run(name, func(t *testing.T) {
			c := play(t, func(p *peer) {
				if p.read() != nil {
					t.Error("criu was asked")
				}
			})
			if err := c.Dump(t.Context(), o, Notify{}); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("Dump: %v", err)
			}
		})
	}
}
