package linux_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The container that libcontainer's README made in 2015, led through its life: namespaces of its own for mounts, host name, IPC, processes and
// network, fourteen capabilities, a loopback interface, a limit on open files, and a shell as the user daemon.
//
// The program's main begins with keeper.Hook().
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	rootfs := busybox(dir) // any directory with a root file system

	node, err := linux.Open(ctx, linux.Config{
		RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log"),
		CgroupParent: filepath.Base(dir),
	})
	if err != nil {
		panic(err)
	}
	defer node.Close()
	defer node.Shutdown(ctx) // without it the keeper stays, for the next Open

	container, err := node.Run(ctx, spec.Container{
		Metadata: spec.Metadata{Name: "test-container"},
		Spec: spec.ContainerSpec{
			Rootfs:   spec.Rootfs{Path: rootfs, ReadOnly: true},
			Hostname: "testing",
			Command:  []string{"/bin/sh"},
			Env:      map[string]string{"PATH": "/bin"},
			User:     "daemon",
			Stdin:    true,
			Security: spec.Security{Capabilities: spec.Capabilities{
				Drop: []string{spec.CapabilityAll},
				Add: []string{
					"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
					"NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
				},
			}},
			Rlimits: map[string]spec.Rlimit{"nofile": {Soft: 1025, Hard: 1025}},
		},
	})
	if err != nil {
		panic(err)
	}
	defer container.Destroy(ctx)

	for _, verb := range []func(context.Context) error{container.Pause, container.Resume} {
		if err := verb(ctx); err != nil {
			panic(err)
		}
		state, err := container.State(ctx)
		if err != nil {
			panic(err)
		}
		fmt.Println(state.Phase)
	}
	processes, err := container.Processes(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(len(processes), "process:", processes[0].Command, "as", processes[0].UID)
	stats, err := container.Stats(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println("interface:", stats.Network[0].Name)

	exit, err := container.Follow(ctx, linux.Streams{
		In:  strings.NewReader("id -un; hostname; echo $$; ulimit -n; grep CapBnd /proc/self/status; exit 3\n"),
		Out: os.Stdout, Err: os.Stderr,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(exit.Code, exit.Reason)
	// Output:
	// Paused
	// Running
	// 1 process: [/bin/sh] as 1
	// interface: lo
	// daemon
	// testing
	// 1
	// 1025
	// CapBnd:	00000000a80425fb
	// 3 Error
}
