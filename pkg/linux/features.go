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

// KeeperPid asks the keeper that is there who it is. It starts none.
func (n *Node) KeeperPid(ctx context.Context) (int, error) {
	hello, err := n.keeper.Ping(ctx)
	return hello.Pid, err
}
