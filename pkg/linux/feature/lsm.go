package feature

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// What the kernel's security modules can do.
var (
	AppArmor = &Feature{
		Name: "apparmor", Purpose: "security.apparmor",
		Remedy: "boot a kernel with CONFIG_SECURITY_APPARMOR and apparmor=1",
		probe: func() error {
			text, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return because("the kernel is built without AppArmor, or boots without it")
			case err == nil && strings.TrimSpace(string(text)) != "Y":
				return because("AppArmor is switched off")
			}
			return err
		},
	}
	SELinux = &Feature{
		Name: "selinux", Purpose: "security.selinux",
		Remedy: "boot a kernel with CONFIG_SECURITY_SELINUX and selinux=1, with a policy",
		probe: func() error {
			var st unix.Statfs_t
			err := unix.Statfs("/sys/fs/selinux", &st)
			if errors.Is(err, fs.ErrNotExist) || err == nil && st.Type != unix.SELINUX_MAGIC {
				return because("SELinux is not active")
			}
			return err
		},
	}
	Landlock = &Feature{
		Name: "landlock", Since: "5.13", Purpose: "security.landlock",
		Remedy: "run a kernel with CONFIG_SECURITY_LANDLOCK and without an lsm= that leaves it out",
		probe: func() error {
			switch _, err := landlockABI(); {
			case errors.Is(err, unix.EOPNOTSUPP):
				return because("Landlock is switched off at boot")
			case errors.Is(err, unix.ENOSYS):
				return because("the kernel is built without Landlock, or older")
			default:
				return err
			}
		},
	}
)

// LandlockABI is the version of what the kernel can do with Landlock, from 1; 0 is nothing. See landlock(7).
func LandlockABI() int {
	abi, err := landlockABI()
	if err != nil {
		return 0
	}
	return abi
}

func landlockABI() (int, error) {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, errno
	}
	return int(abi), nil
}
