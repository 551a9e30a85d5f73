package survey

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/namespace/inside"
)

// NoSystemV refuses a container that shares shared memory, message queues or semaphores of System V with others: each image would have them, and only the first one
// restored could. See sysvipc(7) and proc_sysvipc(5), which shows those of who reads.
func NoSystemV(pid int) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/ipc", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	return inside.Do(ns, unix.CLONE_NEWIPC, func() error {
		for _, kind := range []string{"shm", "msg", "sem"} {
			text, err := os.ReadFile("/proc/sysvipc/" + kind)
			if err != nil {
				return err
			}
			if bytes.Count(text, []byte("\n")) > 1 { // beside the heading
				return unsupported("its group shares System V IPC (%s), which no image can hold for all of them", kind)
			}
		}
		return nil
	})
}
