package linux_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// hello is what the README shows, word for word.
func hello(ctx context.Context, config linux.Config, rootfs string) error {
	node, err := linux.Open(ctx, config) // directories, and a cgroup for all containers
	if err != nil {
		return err
	}
	defer node.Close()

	container, err := node.Run(ctx, spec.Container{
		Metadata: spec.Metadata{Name: "hello"},
		Spec: spec.ContainerSpec{ // the words of a manifest, with its defaults
			Rootfs:    spec.Rootfs{Path: rootfs},
			Command:   []string{"sh", "-c", "echo hello from $(hostname), process $$; exit 3"},
			Resources: spec.Resources{Memory: spec.Memory{Max: spec.NewLimit(64 << 20)}},
		},
	})
	if errors.Is(err, spec.ErrCommandNotFound) {
		return fmt.Errorf("%s has no shell: %w", rootfs, err)
	}
	if err != nil {
		return err
	}
	exit, err := container.Follow(ctx, linux.Streams{Out: os.Stdout, Err: os.Stderr})
	if err != nil {
		return err
	}
	fmt.Println("it ended with", exit.Code)
	return errors.Join(container.Destroy(ctx), node.Shutdown(ctx))
}

// The program that the README shows.
func Example_hello() {
	config, rootfs, remove := folders()
	defer remove()
	if err := hello(context.Background(), config, rootfs); err != nil {
		panic(err)
	}
	// Output:
	// hello from hello, process 1
	// it ended with 3
}
