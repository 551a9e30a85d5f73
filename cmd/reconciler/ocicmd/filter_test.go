package ocicmd_test

import (
	"fmt"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A filter judges the command and not what leads to it: profiles that are older than a call of the start's are in use.
func TestFilterIsOfTheCommand(t *testing.T) {
	w := newWorld(t)
	for i, noNewPrivileges := range []bool{false, true} {
		id := fmt.Sprint("c", i)
		bundle := w.bundle(id, ":", func(s *specs.Spec) {
			s.Process.Args, s.Process.NoNewPrivileges, s.Process.User = []string{"/bin/true"}, noNewPrivileges, specs.User{UID: 1000, GID: 1000}
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
				Names:  []string{"faccessat2", "faccessat", "close_range", "dup3", "setgroups", "setresgid", "setresuid", "read", "write", "openat", "fcntl"},
				Action: specs.ActKillProcess,
			}}}
		})
		w.run("create", "--bundle", bundle, id)
		w.run("start", id)
		w.is(id, specs.StateStopped)
		if r := w.try("run", "--bundle", bundle, id+"-run"); r.code != 0 {
			t.Errorf("no new privileges %v: code %d: %s", noNewPrivileges, r.code, r.err)
		}
	}
}
