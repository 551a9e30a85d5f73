package oci_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What of the example differs from what it says, word by word.
func TestTranslate(t *testing.T) {
	bounding := func(c spec.ContainerSpec) any { return fmt.Sprint(c.Security.Capabilities) }
	tests := []struct {
		name string
		edit func(*specs.Spec)
		get  func(spec.ContainerSpec) any
		want any
	}{
		{"base", nil, func(c spec.ContainerSpec) any { return c.Base }, spec.BaseNone},
		{"medium", nil, func(c spec.ContainerSpec) any { return c.Rootfs.Writable.Medium }, spec.MediumDirect},
		{"a relative root", nil, func(c spec.ContainerSpec) any { return c.Rootfs.Path }, "/bundle/rootfs"},
		{"an absolute root", func(s *specs.Spec) { s.Root.Path = "/r/../x" }, func(c spec.ContainerSpec) any { return c.Rootfs.Path }, "/x"},
		{"no seccomp", nil, func(c spec.ContainerSpec) any { return c.Security.Seccomp }, spec.SeccompUnconfined},
		{"no capabilities", func(s *specs.Spec) { s.Process.Capabilities = nil }, bounding, fmt.Sprint(spec.Capabilities{Drop: []string{"ALL"}})},
		{"empty capabilities", func(s *specs.Spec) { s.Process.Capabilities = &specs.LinuxCapabilities{} }, bounding, fmt.Sprint(spec.Capabilities{Drop: []string{"ALL"}})},
		{"unknown capabilities", func(s *specs.Spec) {
			s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL", "CAP_FLY", "CAP_KILL"}}
		}, bounding, fmt.Sprint(spec.Capabilities{Bounding: []string{"KILL"}})},
		{"no masked paths", func(s *specs.Spec) { s.Linux.MaskedPaths = nil }, func(c spec.ContainerSpec) any { return len(*c.Security.MaskedPaths) }, 0},
		{"the last of two variables", func(s *specs.Spec) { s.Process.Env = []string{"A=1", "A=2=3"} }, func(c spec.ContainerSpec) any { return c.Env["A"] }, "2=3"},
		{"an unlimited rlimit", func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 1<<64 - 1, Hard: 1<<64 - 1}}
		}, func(c spec.ContainerSpec) any { return c.Rlimits["core"] }, spec.Rlimit{Soft: -1, Hard: -1}},
		{"no namespaces", func(s *specs.Spec) { s.Hostname, s.Linux.Namespaces = "", []specs.LinuxNamespace{{Type: "mount"}} }, func(c spec.ContainerSpec) any {
			return fmt.Sprint(c.Namespaces.PID, c.Namespaces.IPC, c.Namespaces.UTS, c.Namespaces.Cgroup, c.Network.Mode, c.Namespaces.User.Mode, c.Namespaces.Time.Mode)
		}, "HostHostHostHostHostHostHost"},
		{"a joined network", func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "/run/netns/a" }, func(c spec.ContainerSpec) any {
			return fmt.Sprint(c.Network.Mode, " ", c.Network.Join)
		}, "Join /run/netns/a"},
		{"a bind by its options", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/a", Type: "none", Source: "x", Options: []string{"rbind", "z", "ro"}}}
		}, func(c spec.ContainerSpec) any { return fmt.Sprint(c.Mounts) }, "[{bind /bundle/x /a [rbind ro] [] []}]"},
		{"an option of a file system", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "a", Type: "tmpfs", Options: []string{"strange=1"}}}
		}, func(c spec.ContainerSpec) any { return fmt.Sprint(c.Mounts) }, "[{tmpfs  /a [strange=1] [] []}]"},
		{"maps without a word", func(s *specs.Spec) {
			s.Mounts = []specs.Mount{{Destination: "/a", Type: "bind", Source: "/x", UIDMappings: []specs.LinuxIDMapping{{Size: 1}}, GIDMappings: []specs.LinuxIDMapping{{Size: 1}}}}
		}, func(c spec.ContainerSpec) any { return fmt.Sprint(c.Mounts[0].Options) }, "[idmap]"},
		{"what stat says of a device", func(s *specs.Spec) {
			mode := 0o20640
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "u", Major: 1, Minor: 3, FileMode: fileMode(mode)}}
		}, func(c spec.ContainerSpec) any { return string(c.Devices[0].Type) + c.Devices[0].Mode }, "c0640"},
		{"device rules", func(s *specs.Spec) {
			all := int64(-1)
			s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Major: &all, Access: "rwm"}}
		}, func(c spec.ContainerSpec) any { return fmt.Sprint(c.DeviceRules[0], len(c.DeviceRules)) }, fmt.Sprint(spec.DeviceRule{Allow: true, Access: "rwm"}, len(spec.DefaultDeviceRules))},
		{"the sysctl of the domain name", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.domainname": "d"} }, func(c spec.ContainerSpec) any { return len(c.Sysctls) }, 0},
		{"groups that are said twice", func(s *specs.Spec) { s.Process.User.AdditionalGids = []uint32{7, 5, 7} }, func(c spec.ContainerSpec) any { return fmt.Sprint(c.AdditionalGroups) }, "[7 5]"},
		{"affinity", func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: "0"} }, func(c spec.ContainerSpec) any { return c.CPUAffinity }, spec.CPUAffinity{}},
	}
	for _, test := range tests {
		config := oci.Example()
		if test.edit != nil {
			test.edit(config)
		}
		got, err := oci.Translate(config, "/bundle")
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if is := test.get(got.Container.Spec); is != test.want {
			t.Errorf("%s: got %v, want %v", test.name, is, test.want)
		}
	}
}

func TestResources(t *testing.T) {
	n := func(n int64) *int64 { return &n }
	u := func(n uint64) *uint64 { return &n }
	w := func(n uint16) *uint16 { return &n }
	tests := []struct {
		name string
		said specs.LinuxResources
		want spec.Resources // or an error
		err  error
	}{
		{"nothing", specs.LinuxResources{}, spec.Resources{}, nil},
		{"zeros", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: n(0), Swap: n(0)}, CPU: &specs.LinuxCPU{Quota: n(0), Shares: u(0)}, Pids: &specs.LinuxPids{Limit: n(0)}}, spec.Resources{}, nil},
		{"memory and swap", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: n(100), Swap: n(150)}}, spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(100), Swap: spec.NewLimit(50)}}, nil},
		{"no swap", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: n(100), Swap: n(100)}}, spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(100), Swap: spec.NewLimit(0)}}, nil},
		{"any swap", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: n(100), Swap: n(-1)}}, spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(100), Swap: spec.MaxLimit()}}, nil},
		{"any memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: n(-1)}}, spec.Resources{Memory: spec.Memory{Max: spec.MaxLimit(), Swap: spec.MaxLimit()}}, nil},
		{"less swap than memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: n(100), Swap: n(50)}}, spec.Resources{}, fs.ErrInvalid},
		{"swap without memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: n(50)}}, spec.Resources{}, fs.ErrInvalid},
		{"a third of a processor", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: n(33333)}}, spec.Resources{CPU: spec.CPU{Max: spec.NewCores(333330), Period: spec.Duration(100e6)}}, nil},
		{"any processor time", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: n(-1), Period: u(50000)}}, spec.Resources{CPU: spec.CPU{Max: spec.MaxCores(), Period: spec.Duration(50e6)}}, nil},
		{"shares out of range", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: u(1)}}, spec.Resources{CPU: spec.CPU{Shares: 2}}, nil},
		{"a period without end", specs.LinuxResources{CPU: &specs.LinuxCPU{Period: u(1 << 63)}}, spec.Resources{}, fs.ErrInvalid},
		{"any tasks", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: n(-1)}}, spec.Resources{Pids: spec.Pids{Max: spec.MaxLimit()}}, nil},
		{
			"a weight",
			specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: w(1000), WeightDevice: []specs.LinuxWeightDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 8}, Weight: w(1000)}}}},
			spec.Resources{IO: spec.IO{BlkioWeight: 1000, DeviceWeights: map[string]uint64{"8:0": 10000}}},
			nil,
		},
		{"a bad weight", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: w(9)}}, spec.Resources{}, fs.ErrInvalid},
	}
	for _, test := range tests {
		got, err := oci.Resources(&test.said)
		if !errors.Is(err, test.err) || err == nil && !got.Equal(test.want) {
			t.Errorf("%s: got %+v, %v", test.name, got, err)
		}
	}
}

// Contradictions, and what is not in the specification, are the configuration's faults; what no container here can have is not.
func TestTranslateRefuses(t *testing.T) {
	invalid, unsupported := fs.ErrInvalid, errors.ErrUnsupported
	zero := 0
	tests := []struct {
		what string
		err  error
		edit func(*specs.Spec)
	}{
		{"process is missing", invalid, func(s *specs.Spec) { s.Process = nil }},
		{"root.path is missing", invalid, func(s *specs.Spec) { s.Root = nil }},
		{"process.args", invalid, func(s *specs.Spec) { s.Process.Args = nil }},
		{"process.cwd", invalid, func(s *specs.Spec) { s.Process.Cwd = "x" }},
		{"process.env", invalid, func(s *specs.Spec) { s.Process.Env = []string{"=x"} }},
		{"process.user.uid", invalid, func(s *specs.Spec) { s.Process.User.UID = 1<<32 - 1 }},
		{"process.rlimits", invalid, func(s *specs.Spec) { s.Process.Rlimits = append(s.Process.Rlimits, s.Process.Rlimits[0]) }},
		{"process.rlimits", invalid, func(s *specs.Spec) { s.Process.Rlimits[0].Type = "RLIMIT_X" }},
		{"process.rlimits", invalid, func(s *specs.Spec) { s.Process.Rlimits[0].Soft++ }},
		{"process.oomScoreAdj", invalid, func(s *specs.Spec) { n := 1001; s.Process.OOMScoreAdj = &n }},
		{"hostname needs", invalid, func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[4:] }},
		{"hostname", invalid, func(s *specs.Spec) { s.Hostname = strings.Repeat("x", 65) }},
		{"mounts", invalid, func(s *specs.Spec) { s.Mounts = []specs.Mount{{Destination: "/a", Type: "bind"}} }},
		{"hooks", invalid, func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x"}}} }},
		{"hooks", invalid, func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/x", Timeout: &zero}}} }},
		{"linux.namespaces", invalid, func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, s.Linux.Namespaces[0]) }},
		{"linux.namespaces", invalid, func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "x" }},
		{"linux.namespaces", invalid, func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "x" }},
		{"linux.namespaces", unsupported, func(s *specs.Spec) { s.Linux.Namespaces[4].Path = "/x" }},
		{"linux.namespaces", unsupported, func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[:4] }},
		{"user namespace", invalid, func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}} }},
		{"user namespace", invalid, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
		}},
		{"time namespace", invalid, func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}} }},
		{"linux.timeOffsets", invalid, func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"real": {Secs: 1}} }},
		{"linux.timeOffsets", invalid, func(s *specs.Spec) {
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1 << 62}}
		}},
		{"linux.devices", invalid, func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: -1}} }},
		{"linux.rootfsPropagation", invalid, func(s *specs.Spec) { s.Linux.RootfsPropagation = "x" }},
		{"linux.maskedPaths", invalid, func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"x"} }},
		{"sysctl", invalid, func(s *specs.Spec) {
			s.Linux.Namespaces = s.Linux.Namespaces[3:5]
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		}},
		{"sysctl", invalid, func(s *specs.Spec) {
			s.Linux.Namespaces = s.Linux.Namespaces[3:5]
			s.Linux.Sysctl = map[string]string{"kernel.shmmax": "1"}
		}},
		{"linux.resources", invalid, func(s *specs.Spec) { s.Linux.Resources.Devices[0].Type = "x" }},
		{"linux.seccomp", invalid, func(s *specs.Spec) { n := uint(1 << 16); s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultErrnoRet: &n} }},
	}
	for _, test := range tests {
		config := oci.Example()
		test.edit(config)
		if _, err := oci.Translate(config, "/bundle"); !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.what) {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

// Of a configuration's text, what is unknown is passed over and what is dangerous is not.
func TestParseConfig(t *testing.T) {
	for text, want := range map[string]error{
		`{"ociVersion": "1.0.2-dev", "strange": {"x": [1]}, "linux": {"strange": 1}}`: nil,
		`{"ociVersion": "1.99.0"}`:               nil,
		`{}`:                                     fs.ErrInvalid,
		`{"ociVersion": "x"}`:                    fs.ErrInvalid,
		`{"ociVersion": "2.0.0"}`:                errors.ErrUnsupported,
		`{"ociVersion": "1.0.0", "hostname": 1}`: fs.ErrInvalid,
		`{"ociVersion": "1.0.0", "hostname": "a\u0000b"}`:          fs.ErrInvalid,
		`{"ociVersion": "1.0.0", "annotations": {"a\u0000b": ""}}`: fs.ErrInvalid,
		`{"ociVersion": "1.0.0"`:                                   fs.ErrInvalid,
		`null`:                                                     fs.ErrInvalid,
	} {
		if _, err := oci.ParseConfig([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Whatever the text, it is translated or refused.
func FuzzTranslate(f *testing.F) {
	f.Add([]byte(`{"ociVersion": "1.0.0", "process": {"args": ["x"], "cwd": "/"}, "root": {"path": "r"}, "linux": {"namespaces": [{"type": "mount"}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		config, err := oci.ParseConfig(text)
		if err != nil {
			return
		}
		got, err := oci.Translate(config, "/bundle")
		if err == nil && (got.Container.Spec.Rootfs.Path == "" || len(got.Container.Spec.Command) == 0) {
			t.Errorf("half a container: %+v", got)
		}
		if err != nil && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("untyped: %v", err)
		}
	})
}

func fileMode(mode int) *fs.FileMode { m := fs.FileMode(mode); return &m }
