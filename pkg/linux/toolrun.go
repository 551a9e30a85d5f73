package linux

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
)

// cacheFile is where criu keeps what it has found out about the kernel, which takes it longer than anything else about a small container. It does so only where
// /run is in memory.
const cacheFile = "criu.kdat"

// maxCache bounds it; that of criu 4 has some hundred bytes.
const maxCache = 64 << 10

// toolCache is that file, as a tool left it which nothing kept from finding out; it is true of this boot's kernel.
type toolCache struct {
	mu   sync.Mutex
	text []byte
}

// learn reads the file from a tool's /run, unless it is known.
func (c *toolCache) learn(run *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.text != nil {
		return
	}
	fd, err := unix.Openat(int(run.Fd()), cacheFile, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return // it was not finished
	}
	f := os.NewFile(uintptr(fd), cacheFile)
	defer f.Close()
	if text, err := io.ReadAll(io.LimitReader(f, maxCache+1)); err == nil && len(text) > 0 && len(text) <= maxCache {
		c.text = text
	}
}

// KnowsKernel tells whether tools find what they want to know about the kernel, and try nothing out. Only then may they do without the node's network.
func (n *Node) KnowsKernel() bool {
	n.toolCache.mu.Lock()
	defer n.toolCache.mu.Unlock()
	return n.toolCache.text != nil
}

// toolRun makes the /run of a tool, detached, with what is known already.
func (n *Node) toolRun() (*os.File, error) {
	run, err := mount.NewScratch()
	if err != nil {
		return nil, err
	}
	n.toolCache.mu.Lock()
	defer n.toolCache.mu.Unlock()
	if n.toolCache.text == nil {
		return run, nil
	}
	fd, err := unix.Openat(int(run.Fd()), cacheFile, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err == nil {
		f := os.NewFile(uintptr(fd), cacheFile)
		_, err = f.Write(n.toolCache.text)
		f.Close()
	}
	if err != nil {
		run.Close()
		return nil, fmt.Errorf("cannot prepare a tool's /run: %w", err)
	}
	return run, nil
}
