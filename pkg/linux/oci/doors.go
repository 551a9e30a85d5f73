package oci

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/linux/start"
)

// The files of a program that waits for Start, by another process.
const (
	fileStart  = "start"  // the FIFO that lets it execute its command
	fileResult = "result" // the FIFO that gets the errnos
)

// accompany attends to the child until it waits for its start, or executes its command.
func (m *making) accompany(ctx context.Context) error {
	err := m.doors.Attend(ctx)
	if err == nil && m.lasting {
		_, err = m.doors.Await(ctx)
	}
	if errors.Is(err, start.ErrEnded) {
		return m.failure(ctx)
	}
	return err
}

// failure is why the child has ended, or does now.
func (m *making) failure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := m.child.Wait(ctx); err != nil {
		return err
	}
	return fmt.Errorf("cannot start the container: %w", start.ErrEnded)
}
