package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// RunOnce makes the node agree and returns when it does, or when it cannot for now: then the error names what is not ready.
func (a *Agent) RunOnce(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	settled := make(chan error, 1)
	go func() {
		select {
		case <-a.synced:
			settled <- a.awaitSettled(ctx)
		case <-ctx.Done():
			settled <- ctx.Err()
		}
	}()
	select {
	case err := <-ran:
		return errors.Join(err, ctx.Err())
	case err := <-settled:
		stop()
		return errors.Join(err, <-ran, a.notReady())
	}
}

// awaitSettled waits until everything has settled and stays so for a moment: a process may end as soon as it has started.
func (a *Agent) awaitSettled(ctx context.Context) error {
	for {
		if err := a.await(ctx, a.settled); err != nil {
			return err
		}
		if !sleep(ctx, Settle) {
			return ctx.Err()
		}
		if a.settled() {
			return nil
		}
	}
}

// notReady names the containers that do not do what their manifests say, and the sources that cannot be read.
func (a *Agent) notReady() error {
	var errs []error
	list, _ := a.objects.List()
	for _, object := range list {
		for _, c := range object.Status.Conditions {
			if c.Type == spec.ConditionReady && c.Status != spec.True || c.Type == spec.ConditionAccepted && c.Status != spec.True {
				errs = append(errs, fmt.Errorf("%s is not %s: %s %s", object.Metadata.Name, c.Type, c.Reason, c.Message))
			}
		}
	}
	for _, s := range a.Sources() {
		for _, problem := range s.Problems {
			errs = append(errs, errors.New(problem))
		}
	}
	return errors.Join(errs...)
}
