package linux_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// allowing is a profile that allows everything but what its rules say.
func allowing(rules ...spec.SeccompRule) spec.Security {
	return spec.Security{Seccomp: spec.SeccompByProfile, SeccompProfile: spec.SeccompProfile{DefaultAction: spec.SeccompAllow, Syscalls: rules}}
}

// TestProfiles looks from inside at profiles, in the manifest and in a file on the node.
func TestProfiles(t *testing.T) {
	n := open(t)
	file := n.path("profile.json")
	must(t, os.WriteFile(file, []byte(`{
		"defaultAction": "SCMP_ACT_ALLOW",
		"syscalls": [
			{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errno": "EXDEV"},
			{"names": ["symlink", "symlinkat"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_CHOWN"]}},
			{"names": ["link", "linkat"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_CHOWN"]}}
		]
	}`), 0o644))
	byFile := spec.Security{Seccomp: spec.SeccompByProfile, SeccompProfileFile: file}
	without := byFile
	without.Capabilities.Drop = []string{"ALL"}
	privileged := byFile
	privileged.AllowNewPrivileges = true
	const make = `cd /dev/shm; mkdir d 2>&1 | grep -o 'Invalid cross-device link'; ln -s a s 2>/dev/null && echo symlink; touch f; ln f g 2>/dev/null && echo link; true`
	for _, test := range []struct {
		name     string
		security spec.Security
		script   string
		want     string
	}{
		{"errno", allowing(spec.SeccompRule{Names: []string{"mkdir", "mkdirat", "teleport"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(28)}), `mkdir /dev/shm/d 2>&1 | grep -o 'No space left'; grep Seccomp: /proc/self/status`, "No space left\nSeccomp:\t2"},
		{"success", allowing(spec.SeccompRule{Names: []string{"mkdir", "mkdirat"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(0)}), `mkdir /dev/shm/d && ls /dev/shm | wc -l`, "0"},
		{"kill", allowing(spec.SeccompRule{Names: []string{"mkdir", "mkdirat"}, Action: spec.SeccompKillProcess}), `sh -c 'mkdir /dev/shm/d' 2>/dev/null; echo $?`, "159"},
		{"argument", allowing(spec.SeccompRule{
			Names: []string{"kill"}, Action: spec.SeccompErrno, Args: []spec.SeccompArg{{Index: 1, Value: 10, Op: spec.SeccompGreaterOrEqual}},
		}), `kill -0 $$ && kill -CONT $$ 2>/dev/null || echo refused`, "refused"},
		{"file", byFile, make, "Invalid cross-device link\nlink"},
		{"file-without-capabilities", without, make, "Invalid cross-device link\nsymlink"},
		{"file-with-new-privileges", privileged, make + `; grep -E '^(NoNewPrivs|Seccomp:)' /proc/self/status`, "Invalid cross-device link\nlink\nNoNewPrivs:\t0\nSeccomp:\t2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := n.container(test.name, test.script)
			c.Spec.Security = test.security
			if got := n.say(t, c); strings.TrimSpace(got) != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// Profiles that no container can have.
func TestProfileRefusals(t *testing.T) {
	n := open(t)
	broken := n.path("broken.json")
	must(t, os.WriteFile(broken, []byte(`{"defaultAction": "SCMP_ACT_ALOW"}`), 0o644))
	notify := allowing(spec.SeccompRule{Names: []string{"mkdir", "write"}, Action: spec.SeccompNotify})
	notify.SeccompProfile.ListenerPath = "/run/absent.sock"
	for _, test := range []struct {
		name, says string
		security   spec.Security
		kind       error
	}{
		{"nothing said", "defaultAction", spec.Security{Seccomp: spec.SeccompByProfile}, fs.ErrInvalid},
		{"no file", "/nonexistent/web.json", spec.Security{Seccomp: spec.SeccompByProfile, SeccompProfileFile: "/nonexistent/web.json"}, fs.ErrNotExist},
		{"a broken file", broken + ":1:19: defaultAction", spec.Security{Seccomp: spec.SeccompByProfile, SeccompProfileFile: broken}, fs.ErrInvalid},
		{"notify", "SCMP_ACT_NOTIFY of write", notify, fs.ErrInvalid},
	} {
		c := n.container("refused", "true")
		c.Spec.Security = test.security
		err := n.Create(t.Context(), c, 1, spec.DefaultsVersion)
		if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.says)
		}
	}
}
