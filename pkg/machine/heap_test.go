package machine_test

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// With "heap" and a number of MiB as arguments, this binary is a program in a container that has so much memory of its own and looks at it forever: it says a number
// when every byte is as it was, and WRONG when not. With "idle" as well it does not look but counts, and looks once there is a file /look.
func init() {
	if len(os.Args) < 3 || os.Args[1] != "heap" {
		return
	}
	size, err := strconv.Atoi(os.Args[2])
	if err != nil {
		os.Exit(2)
	}
	heap(size<<20, len(os.Args) > 3)
}

func heap(size int, idle bool) {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	x := uint64(88172645463325252)
	for i := 0; i < size; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(memory[i:], x)
	}
	seed := maphash.MakeSeed()
	want := maphash.Bytes(seed, memory)
	for i := 1; ; i++ {
		if _, err := os.Stat("/look"); (err == nil || !idle) && maphash.Bytes(seed, memory) != want {
			fmt.Println("WRONG")
			os.Exit(1)
		}
		fmt.Println(i)
		time.Sleep(5 * time.Millisecond)
	}
}

// heapContainer is one that runs the program above.
func (n *node) heapContainer(name string, mib int, more ...string) spec.Container {
	n.t.Helper()
	n.install()
	c := n.container(name, "")
	c.Spec.Command = append([]string{"/bin/subject", "heap", strconv.Itoa(mib)}, more...)
	return c
}

// install puts this binary into the rootfs, with the libraries that it needs if it needs any.
func (n *node) install() {
	n.t.Helper()
	target := n.path("rootfs", "bin", "subject")
	if _, err := os.Stat(target); err == nil {
		return
	}
	must(n.t, copyFile("/proc/self/exe", target))
	var libraries []string
	exe, err := elf.Open("/proc/self/exe")
	must(n.t, err)
	defer exe.Close()
	if interp := exe.Section(".interp"); interp != nil {
		data, err := interp.Data()
		must(n.t, err)
		libraries = append(libraries, strings.TrimRight(string(data), "\x00"))
	}
	maps, err := os.ReadFile("/proc/self/maps")
	must(n.t, err)
	for line := range strings.Lines(string(maps)) {
		if fields := strings.Fields(line); len(fields) == 6 && strings.Contains(fields[5], ".so") && !slices.Contains(libraries, fields[5]) {
			libraries = append(libraries, fields[5])
		}
	}
	for _, file := range libraries {
		must(n.t, os.MkdirAll(filepath.Dir(n.path("rootfs", file)), 0o755))
		must(n.t, copyFile(file, n.path("rootfs", file)))
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

// saved is a container with so much memory that is in an image.
func (n *node) saved(t *testing.T, c spec.Container) spec.Image {
	t.Helper()
	name := c.Metadata.Name
	n.run(c)
	n.until("a first look", func() bool { return n.count(name) >= 3 })
	img, err := n.Checkpoint(t.Context(), name, 1, spec.CheckpointOptions{Stop: true})
	must(t, err)
	n.until("the end", func() bool { return n.look(name).Phase == spec.InstanceExited })
	return img
}
