package cgroup_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A group is made, limited, looked at and removed. The same lines work on cgroup v1, v2 and hybrids.
func Example() {
	tree, err := cgroup.Detect()
	if err != nil {
		log.Fatal(err)
	}
	parent, err := cgroup.Open(cgroup.Config{Tree: tree, Parent: "example"})
	if err != nil {
		log.Fatal(err)
	}
	defer parent.Close()

	web, err := parent.Group("web", 1)
	if err != nil {
		log.Fatal(err)
	}
	limits := spec.Resources{Pids: spec.Pids{Max: spec.NewLimit(100)}}
	if err := web.Create(); err != nil {
		log.Fatal(err)
	}
	if err := web.Set(limits); err != nil {
		log.Print(err)
	}
	got, err := web.Get(limits)
	fmt.Println(got.Equal(parent.Wanted(limits)), err)
	if err := web.Remove(context.Background()); err != nil {
		log.Print(err)
	}
}

// Where a hybrid host keeps its control groups.
func ExampleParseTree() {
	tree, err := cgroup.ParseTree(strings.NewReader(`31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 24 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("unified:", tree.Unified)
	for _, controller := range slices.Sorted(maps.Keys(tree.V1)) {
		fmt.Printf("%s: %s\n", controller, tree.V1[controller])
	}
	// Output:
	// unified: /sys/fs/cgroup/unified
	// cpu: /sys/fs/cgroup/cpu,cpuacct
	// cpuacct: /sys/fs/cgroup/cpu,cpuacct
	// memory: /sys/fs/cgroup/memory
}

// The table of limits: a manifest's key, and the files that hold it.
func ExampleRows() {
	for _, row := range cgroup.Rows() {
		if strings.HasPrefix(row.Key, "memory.m") || strings.HasPrefix(row.Key, "pids.") {
			fmt.Printf("%s: %q of %s, on v1 %q\n", row.Key, row.V2, row.Controller, row.V1)
		}
	}
	// Output:
	// memory.max: "memory.max" of memory, on v1 "memory.limit_in_bytes"
	// memory.min: "memory.min" of memory, on v1 ""
	// pids.max: "pids.max" of pids, on v1 "pids.max"
}

// A limit that this host cannot keep is a *ControllerError, which says why; to who only asks whether the host can, it is errors.ErrUnsupported.
func ExampleControllerError() {
	err := fmt.Errorf("cannot create %q: %w", "web", &cgroup.ControllerError{Controller: "rdma"})
	if missing, ok := errors.AsType[*cgroup.ControllerError](err); ok {
		fmt.Println("no controller", missing.Controller)
	}
	fmt.Println(errors.Is(err, errors.ErrUnsupported))
	// Output:
	// no controller rdma
	// true
}
