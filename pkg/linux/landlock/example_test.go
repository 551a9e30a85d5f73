package landlock_test

import (
	"errors"
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/linux/landlock"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// On a kernel that cannot narrow all that is said, a start is refused, unless best effort will do.
func ExampleNew() {
	ports := []uint32{443}
	said := spec.Landlock{Execute: []string{"/usr"}, ReadWrite: []string{"/var/lib/web"}, TCPConnect: &ports}
	const linux62 = 3 // the ABI of its Landlock: without TCP, and without ioctls of devices
	_, err := landlock.New(said, linux62)
	fmt.Println(errors.Is(err, errors.ErrUnsupported))
	said.BestEffort = true
	rules, err := landlock.New(said, linux62)
	fmt.Println(len(rules.Paths), "paths,", len(rules.Ports), "ports,", err)
	// Output:
	// true
	// 2 paths, 0 ports, <nil>
}
