package linux_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A program that is started anew finds its containers running, with what they said and how they ended meanwhile.
func ExampleNode_Load() {
	ctx := context.Background()
	first := openMachine()
	defer first.Close()
	started, err := first.Run(ctx, first.Shell("job", "echo working; sleep 0.1; echo done; exit 7"))
	check(err)
	before, err := started.State(ctx)
	check(err)
	check(first.Node.Close()) // the program ends here; the container does not

	second, err := linux.Open(ctx, first.config)
	check(err)
	first.Node = second // for the deferred Close
	container, err := second.Load(ctx, "job")
	check(err)
	check(container.Output(ctx, os.Stdout, nil))
	exit, err := container.Wait(ctx)
	check(err)
	fmt.Println(exit.Pid == before.Pid || before.Pid == 0, exit.Code)
	// Output:
	// working
	// done
	// true 7
}

// Hints of all containers. They say where to look and not what is there: State does.
func ExampleNode_Events() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	node := openMachine()
	defer node.Close()

	events, err := node.Events(ctx)
	check(err)
	for name, script := range map[string]string{"a": "exit 5", "b": "exit 6"} {
		_, err := node.Run(ctx, node.Shell(name, script))
		check(err)
	}
	ended := map[string]int{}
	for event := range events {
		if event.Kind != spec.EventExit {
			continue
		}
		container, err := node.Load(ctx, event.Name)
		check(err)
		state, err := container.State(ctx)
		check(err)
		if state.Exit == nil {
			continue // it runs again, or only its last process but one has ended
		}
		if ended[event.Name] = state.Exit.Code; len(ended) == 2 {
			break
		}
	}
	fmt.Println(ended)
	// Output: map[a:5 b:6]
}

// Users of the container's own: its superuser is nobody on the node. The node chooses a range of ids that no other container has.
func ExampleNode_Run_userNamespace() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	c := node.Shell("web", "id -u; stat -c %U /bin/busybox; exec sleep 1000")
	c.Spec.Namespaces.User = spec.UserNamespace{Mode: spec.UserAuto, Size: 65536}
	container, err := node.Run(ctx, c)
	check(err)
	said, err := node.First(container, 2)
	check(err)
	fmt.Println("inside:", said)
	processes, err := container.Processes(ctx)
	check(err)
	fmt.Println("on the node an ordinary user:", processes[0].UID >= 65536)

	// Or a range of one's own, for each kind of id.
	c.Metadata.Name = "mapped"
	c.Spec.Namespaces.User = spec.UserNamespace{
		Mode:        spec.UserMap,
		UIDMappings: []spec.IDMapping{{ContainerID: 0, HostID: 300_000, Size: 1000}},
		GIDMappings: []spec.IDMapping{{ContainerID: 0, HostID: 400_000, Size: 1000}},
	}
	mapped, err := node.Run(ctx, c)
	check(err)
	processes, err = mapped.Processes(ctx)
	check(err)
	fmt.Println("as said:", processes[0].UID)
	// Output:
	// inside: [0 root]
	// on the node an ordinary user: true
	// as said: 300000
}

// A container with an address on a bridge, which the node makes, and a port of the node that leads to it.
func ExampleNode_Run_bridge() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	c := node.Shell("web", "echo good day > /tmp/index.html; exec httpd -f -p 80 -h /tmp")
	c.Spec.Rootfs.ReadOnly = false
	c.Spec.Network = spec.Network{Mode: spec.NetworkBridge, Ports: []spec.Port{{Host: 18080, Container: 80}}}
	_, err := node.Run(ctx, c)
	check(err)
	fmt.Println(fetch("127.0.0.1:18080"))

	c.Metadata.Name = "shop"
	_, err = node.Run(ctx, c)
	taken, ok := errors.AsType[*network.PortError](err)
	fmt.Println("a second of that port:", ok && errors.Is(err, unix.EADDRINUSE), taken.Owner)
	// Output:
	// HTTP/1.1 200 OK good day
	// a second of that port: true web
}

// Containers that share network, ipc and host name: they meet on localhost. Each has its own life.
func ExampleNode_Run_group() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	group := spec.Group{
		Metadata: spec.Metadata{Name: "shop"},
		Spec: spec.GroupSpec{Containers: map[string]spec.ContainerSpec{
			"db":  node.Shell("", "while :; do echo in stock | nc -l -p 5432; done").Spec,
			"web": node.Shell("", "hostname; until nc 127.0.0.1 5432 </dev/null 2>/dev/null; do sleep 0.05; done").Spec,
		}},
	}
	for _, c := range group.Expand() {
		container, err := node.Run(ctx, c)
		check(err)
		if container.Name() == "shop-web" {
			check(container.Output(ctx, os.Stdout, nil))
		}
	}
	// Output:
	// shop
	// in stock
}

// A filter of system calls in the words of OCI profiles; a file of one is security.seccompProfileFile.
func ExampleNode_Run_seccomp() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	c := node.Shell("web", "mkdir /tmp/new && echo made; rm -r /tmp")
	c.Spec.Rootfs.ReadOnly = false
	c.Spec.Security.Seccomp = spec.SeccompByProfile
	c.Spec.Security.SeccompProfile = spec.SeccompProfile{
		DefaultAction: spec.SeccompAllow,
		Syscalls: []spec.SeccompRule{
			{Names: []string{"unlink", "unlinkat", "rmdir"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(30)}, // EROFS
		},
	}
	container, err := node.Run(ctx, c)
	check(err)
	check(container.Output(ctx, os.Stdout, os.Stdout))
	// Unordered output:
	// made
	// rm: can't remove '/tmp/new': Read-only file system
}

// Landlock narrows which files a container may touch, whatever their permissions say.
func ExampleNode_Run_landlock() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	c := node.Shell("web", "cat /etc/hostname; head -1 /etc/passwd; echo x > /tmp/x && cat /tmp/x")
	c.Spec.Rootfs.ReadOnly = false
	c.Spec.Security.Landlock = spec.Landlock{
		Execute: []string{"/bin"}, ReadOnly: []string{"/etc/passwd"}, ReadWrite: []string{"/tmp", "/dev"},
	}
	container, err := node.Run(ctx, c)
	check(err)
	check(container.Output(ctx, os.Stdout, os.Stdout))
	// Unordered output:
	// cat: can't open '/etc/hostname': Permission denied
	// root:x:0:0:root:/root:/bin/sh
	// x
}

// Programs that run at points of a container's life: on the node when it is made and when it has ended, and inside before its command. Each
// gets the container's state as JSON; one that fails ends the start.
func ExampleNode_Run_hooks() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()
	told := filepath.Join(node.Rootfs, "told")

	c := node.Shell("web", "cat /tmp/ready")
	c.Spec.Rootfs.ReadOnly = false
	c.Spec.Hooks = spec.Hooks{
		CreateRuntime:  []spec.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "grep -o creating > " + told}}},
		StartContainer: []spec.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo prepared > /tmp/ready"}}},
	}
	container, err := node.Run(ctx, c)
	check(err)
	check(container.Output(ctx, os.Stdout, nil))
	text, err := os.ReadFile(told)
	check(err)
	fmt.Printf("told on the node: %s", text)
	// Output:
	// prepared
	// told on the node: creating
}

// Several containers at once, each led by a goroutine of its own.
func ExampleNode_Run_parallel() {
	ctx := context.Background()
	node := openMachine()
	defer node.Close()

	sums := make(chan int)
	for i := range 4 {
		go func() {
			container, err := node.Run(ctx, node.Shell("worker"+strconv.Itoa(i), fmt.Sprintf("echo $((%d * %d))", i, i)))
			check(err)
			var said strings.Builder
			check(container.Output(ctx, &said, nil))
			check(container.Destroy(ctx))
			n, err := strconv.Atoi(strings.TrimSpace(said.String()))
			check(err)
			sums <- n
		}()
	}
	fmt.Println(<-sums + <-sums + <-sums + <-sums)
	// Output: 14
}

// What this machine can do, and what it lacks.
func ExampleNode_Features() {
	node := openMachine()
	defer node.Close()
	features := node.Features(context.Background()) // by name; the error says what is missing, and what helps
	fmt.Println(features["cgroup2"])
	// Output: <nil>
}

// fetch gets / of a web server that may still be coming up.
func fetch(address string) string {
	for {
		c, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
		answer, err := io.ReadAll(c)
		c.Close()
		if err == nil && len(answer) > 0 {
			lines := strings.Split(strings.TrimSpace(string(answer)), "\r\n")
			return lines[0] + " " + lines[len(lines)-1]
		}
	}
}
