package capability_test

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The sets of a container that gives up all but the low ports, for root and for somebody else; and what a node that holds less says.
func ExampleNewSets() {
	node := capability.Node{Have: capability.UpTo(unix.CAP_LAST_CAP), Last: unix.CAP_LAST_CAP}
	said := spec.Capabilities{Drop: []string{"ALL"}, Add: []string{"NET_BIND_SERVICE"}}
	for _, uid := range []uint32{0, 1000} {
		sets, err := capability.NewSets(said, uid, node)
		fmt.Printf("%d: bounding %v, effective %v, ambient %q, %v\n", uid, sets.Bounding, sets.Effective, sets.Ambient, err)
	}
	node.Have &^= capability.Of(unix.CAP_NET_BIND_SERVICE)
	_, err := capability.NewSets(said, 0, node)
	fmt.Println(err, errors.Is(err, errors.ErrUnsupported))
	// Output:
	// 0: bounding NET_BIND_SERVICE, effective NET_BIND_SERVICE, ambient "", <nil>
	// 1000: bounding NET_BIND_SERVICE, effective NET_BIND_SERVICE, ambient "NET_BIND_SERVICE", <nil>
	// cannot give capability NET_BIND_SERVICE: the node's keeper does not hold it: unsupported operation true
}
