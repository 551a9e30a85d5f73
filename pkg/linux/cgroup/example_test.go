package cgroup_test

import (
	"context"
	"fmt"
	"log"

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
