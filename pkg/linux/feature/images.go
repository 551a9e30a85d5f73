package feature

import "golang.org/x/sys/unix"

// OthersLimits is what images of some containers need beside criu.
var OthersLimits = &Feature{
	Name: "others-limits", Purpose: "images of containers that run as another user than root",
	Remedy: "give the agent CAP_SYS_RESOURCE, or say namespaces.user.mode: Auto",
	probe:  othersLimits,
}

// othersLimits asks for what prlimit(2) wants of who reads the limits of another user's process, as criu does.
func othersLimits() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	if data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) == 0 {
		return because("CAP_SYS_RESOURCE is missing")
	}
	return nil
}
