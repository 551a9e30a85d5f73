package seccomp_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Where nobody decides, what would be asked about is refused, and all else stays.
func TestRefusing(t *testing.T) {
	kerneltest.Require(t, feature.SeccompNotify)
	asks, err := seccomp.NewPlan(spec.SeccompProfile{
		DefaultAction: spec.SeccompAllow, ListenerPath: "/run/ask.sock",
		Syscalls: []spec.SeccompRule{{Names: []string{"mkdirat"}, Action: spec.SeccompNotify}, {Names: []string{"sethostname"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(uint16(unix.EXDEV))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	refuses := asks.Refusing()
	if refuses.Notifies() || refuses.Listener != (seccomp.Listener{}) || !asks.Notifies() {
		t.Errorf("%v from %v", refuses.Flags, asks.Flags)
	}
	native := seccomp.Native()
	for call, want := range map[string][2]seccomp.Action{
		"mkdirat": {unix.SECCOMP_RET_USER_NOTIF, seccomp.Errno(unix.EPERM)}, "sethostname": {seccomp.Errno(unix.EXDEV), seccomp.Errno(unix.EXDEV)}, "read": {seccomp.Allow, seccomp.Allow},
	} {
		for i, plan := range []seccomp.Plan{asks, refuses} {
			if got, err := plan.Filter.Verdict(seccomp.Call{Arch: native.Audit, Nr: native.Calls[call]}); err != nil || got != want[i] {
				t.Errorf("%s: %#x, %v, want %#x", call, got, err, want[i])
			}
		}
	}
}
