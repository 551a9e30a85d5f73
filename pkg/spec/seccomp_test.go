package spec_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const profileManifest = fieldHeader + `
  security:
    seccomp: Profile
    seccompProfile:
      defaultAction: SCMP_ACT_ERRNO
      defaultErrnoRet: 0
      architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
      flags: [SECCOMP_FILTER_FLAG_LOG]
      listenerPath: /run/agent.sock
      listenerMetadata: web
      syscalls:
        - {names: [read, _llseek], action: SCMP_ACT_ALLOW}
        - names: [ioctl]
          action: SCMP_ACT_TRACE
          errnoRet: 7
          args:
            - {index: 1, value: 18446744073709551615, op: SCMP_CMP_NE}
            - {index: 2, value: 0, valueTwo: 0, op: SCMP_CMP_MASKED_EQ}
        - {names: [mount], action: SCMP_ACT_NOTIFY}
`

// A profile has the words of the OCI specification, and numbers of 64 bits; an error of 0 is not the same as none.
func TestDecodeProfile(t *testing.T) {
	c := decodeOne(t, profileManifest)
	want := spec.SeccompProfile{
		DefaultAction: spec.SeccompErrno, DefaultErrnoRet: spec.NewErrnoRet(0),
		Architectures: []spec.SeccompArch{spec.SeccompX8664, spec.SeccompX86}, Flags: []spec.SeccompFlag{spec.SeccompLogFlag},
		ListenerPath: "/run/agent.sock", ListenerMetadata: "web",
		Syscalls: []spec.SeccompRule{
			{Names: []string{"read", "_llseek"}, Action: spec.SeccompAllow},
			{Names: []string{"ioctl"}, Action: spec.SeccompTrace, ErrnoRet: spec.NewErrnoRet(7), Args: []spec.SeccompArg{
				{Index: 1, Value: 1<<64 - 1, Op: spec.SeccompNotEqual}, {Index: 2, Op: spec.SeccompMaskedEqual},
			}},
			{Names: []string{"mount"}, Action: spec.SeccompNotify},
		},
	}
	if got := c.Spec.Security.SeccompProfile; !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n%+v\nwant:\n%+v", got, want)
	}
	checkDocument(t, spec.Document{Container: c})

	other := c
	other.Spec.Security.SeccompProfile.DefaultErrnoRet = 0
	changes := spec.Diff(c, other)
	if len(changes) != 1 || changes[0] != (spec.Change{Path: "security.seccompProfile.defaultErrnoRet", Class: spec.ClassReplace, Old: "0"}) {
		t.Errorf("from an error of 0 to none: %v", changes)
	}
	if spec.Identity(c, spec.DefaultsVersion) == spec.Identity(other, spec.DefaultsVersion) {
		t.Error("an error of 0 and none have one identity")
	}
}

// dockerFile is a profile as Docker and podman write it.
const dockerFile = `{
	"defaultAction": "SCMP_ACT_ERRNO",
	"defaultErrnoRet": 38,
	"defaultErrno": "ENOSYS",
	"archMap": [
		{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
		{"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null}
	],
	"architectures": [],
	"syscalls": [
		{"name": "read", "action": "SCMP_ACT_ALLOW", "args": null},
		{
			"names": ["clone"],
			"action": "SCMP_ACT_ALLOW",
			"args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
			"comment": "no new namespaces",
			"includes": {"arches": ["amd64"], "minKernel": "4.8"},
			"excludes": {"caps": ["CAP_SYS_ADMIN"]}
		},
		{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "errno": "ENOSYS", "args": [], "comment": "", "includes": {}, "excludes": {}}
	]
}
`

func TestDecodeSeccompFile(t *testing.T) {
	got, problems := spec.DecodeSeccomp("web.json", []byte(dockerFile))
	if problems != nil {
		t.Fatal(problems)
	}
	want := spec.SeccompFile{
		DefaultAction: spec.SeccompErrno, DefaultErrnoRet: spec.NewErrnoRet(38), DefaultErrno: "ENOSYS",
		ArchMap:       []spec.SeccompArchMap{{Architecture: spec.SeccompX8664, SubArchitectures: []spec.SeccompArch{spec.SeccompX86, spec.SeccompX32}}, {Architecture: "SCMP_ARCH_RISCV64"}},
		Architectures: []spec.SeccompArch{},
		Syscalls: []spec.SeccompFileRule{
			{Name: "read", Action: spec.SeccompAllow},
			{
				Names: []string{"clone"}, Action: spec.SeccompAllow, Comment: "no new namespaces",
				Args:     []spec.SeccompArg{{Value: 2114060288, Op: spec.SeccompMaskedEqual}},
				Includes: spec.SeccompWhere{Arches: []string{"amd64"}, MinKernel: "4.8"}, Excludes: spec.SeccompWhere{Caps: []string{"CAP_SYS_ADMIN"}},
			},
			{Names: []string{"clone3"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(38), Errno: "ENOSYS", Args: []spec.SeccompArg{}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n%+v\nwant:\n%+v", got, want)
	}
}

// Each problem of a file is told with its place.
func TestBrokenSeccompFiles(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, "p:1:1: not JSON: unexpected end of JSON input"},
		{"{\n \"defaultAction\": SCMP_ACT_ALLOW}", "p:2:19: not JSON: invalid character 'S' looking for beginning of value"},
		{"defaultAction: SCMP_ACT_ALLOW\n", "p:1:1: not JSON: invalid character 'd' looking for beginning of value"},
		{`{"defaultAction": "SCMP_ACT_ALLOW"} {}`, "p:1:37: not JSON: invalid character '{' after top-level value"},
		{`[]`, "p:1:1: wants an object with defaultAction and syscalls, not a list"},
		{`{}`, "p:1:1: defaultAction: is missing\nhint: write SCMP_ACT_ERRNO to deny what no rule allows"},
		{`{"defaultAction": null}`, "p:1:1: defaultAction: is missing\nhint: write SCMP_ACT_ERRNO to deny what no rule allows"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "DefaultAction": "SCMP_ACT_KILL"}`, "p:1:37: DefaultAction: unknown field\nhint: did you mean defaultAction?"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "defaultAction": "SCMP_ACT_KILL"}`, "p:1:37: defaultAction: is said twice\nhint: the first is in line 1"},
		{"{\"defaultAction\": \"SCMP_ACT_ALLOW\",\n\"syscalls\": [{\"action\": \"SCMP_ACT_KILL\"}]}", "p:2:14: syscalls[0].names: is missing"},
		{"{\"defaultAction\": \"SCMP_ACT_ALLOW\",\n\"syscalls\": [{\"names\": [\"read\"], \"name\": \"read\", \"action\": \"SCMP_ACT_KILL\"}]}", "p:2:42: syscalls[0].name: name and names exclude each other\nhint: remove one"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "SCMP_ARCH_X86"}], "architectures": ["SCMP_ARCH_X86"]}`, "p:1:48: archMap: architectures and archMap exclude each other\nhint: remove one"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_KILL", "includes": {"minKernel": "4"}}]}`, `p:1:123: syscalls[0].includes.minKernel: "4" is not a version of the kernel such as 4.8`},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": 1e3, "op": "SCMP_CMP_EQ"}]}]}`, `p:1:128: syscalls[0].args[0].value: wants a whole number, not "1e3"` + "\nhint: write it in decimal digits"},
	} {
		_, problems := spec.DecodeSeccomp("p", []byte(c.text))
		if got := fmt.Sprint(problems); problems == nil || got != c.want {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", c.text, got, c.want)
		}
	}
}

// No file costs more than bounded time and memory.
func TestSeccompFileBombs(t *testing.T) {
	for name, text := range map[string]string{
		"brackets": strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"items":    "[" + strings.Repeat("1,", 49_000) + "1]",
		"large":    `"` + strings.Repeat("a", 1<<20) + `"`,
		"rules":    `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [` + strings.Repeat("{},", 20_000) + "{}]}",
	} {
		if _, problems := spec.DecodeSeccomp("p", []byte(text)); len(problems) == 0 || len(problems) > 60 {
			t.Errorf("%s: %d problems", name, len(problems))
		}
	}
}

// FuzzDecodeSeccomp holds DecodeSeccomp to its laws: it never panics, and its problems lie within the file and can be shown.
func FuzzDecodeSeccomp(f *testing.F) {
	f.Add([]byte(dockerFile))
	f.Add([]byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, problems := spec.DecodeSeccomp("p", data)
		for _, p := range problems {
			checkProblem(t, data, p)
		}
	})
}
