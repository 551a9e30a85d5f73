package linux

import (
	"os"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/linux/start"
)

// toolCache is what a tool has found out about this boot's kernel.
type toolCache struct {
	mu   sync.Mutex
	text []byte
}

// learn asks a tool's /run, unless it is known.
func (c *toolCache) learn(run *os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.text == nil {
		c.text = start.Learned(run)
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
	n.toolCache.mu.Lock()
	defer n.toolCache.mu.Unlock()
	return start.NewRun(n.toolCache.text)
}
