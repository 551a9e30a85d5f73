package hook

import (
	"context"
	"maps"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/cgroup"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Plan plans a hook in a defaulted container, with what its own process, the target, has. What the filter would ask about is refused: who
// decides is told of the container's own process.
func Plan(c spec.Container, h spec.Hook, target *start.Target, host *start.Host) (start.Exec, error) {
	plan, err := start.NewExec(c, spec.Exec{Command: h.Argv(), Stdin: true}, target.Root, target.IDs, host)
	if err != nil {
		return plan, err
	}
	attributes := &plan.Attribute
	attributes.Paths, attributes.Env = []string{h.Path}, Environ(h.Env)
	attributes.Seccomp = attributes.Seccomp.Refusing()
	return plan, nil
}

// InContainer runs hooks in a container as children of this process, and so may be children that they leave it (CLONE_PARENT of clone(2)), which keep
// the container from ending: only for a process that is about to end itself.
func InContainer(c spec.Container, target *start.Target, group *cgroup.Group, host *start.Host) Runner {
	return func(ctx context.Context, h spec.Hook, stdin, output *os.File) error {
		plan, err := Plan(c, h, target, host)
		if err == nil {
			err = plan.Shield(target)
		}
		if err != nil {
			return err
		}
		entry, err := group.Files()
		defer func() {
			for _, f := range entry {
				_ = f.Close()
			}
		}()
		if err != nil {
			return err
		}
		p := &process.Program{}
		plan.Steps.Entered = func(p *process.Program) { p.Park() }
		plan.Compose(p, entry)
		files := host.Lend(entry)
		maps.Copy(files, target.Files(plan))
		maps.Copy(files, map[string]*os.File{attribute.FileStdin: stdin, attribute.FileStdout: output, attribute.FileStderr: output})
		child, err := process.StartParked(p, files)
		if err != nil {
			return err
		}
		return await(ctx, child)
	}
}
