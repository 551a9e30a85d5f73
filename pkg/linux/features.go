package linux

import (
	"context"

	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// Features says what this machine can do, by the names of package feature; the error says what is missing and what helps.
func (n *Node) Features(context.Context) map[string]error {
	features := map[string]error{}
	for _, f := range feature.All() {
		features[f.Name] = f.Probe()
	}
	return features
}

// Keeper asks the keeper that is there who it is, and how many bytes of output it could not write. It starts none.
func (n *Node) Keeper(ctx context.Context) (pid int, dropped int64, err error) {
	hello, err := n.keeper.Ping(ctx)
	return hello.Pid, hello.Dropped, err
}
