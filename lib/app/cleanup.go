package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// cleanups is a stack of named steps that undo what was built. Each is added the moment its resource exists, so that a
// start that fails half-way rolls back through the same steps as a normal stop.
type cleanups struct {
	mu    sync.Mutex
	steps []cleanup
}

type cleanup struct {
	name string
	undo func(ctx context.Context) error
}

func (c *cleanups) add(name string, undo func(ctx context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps = append(c.steps, cleanup{name, undo})
}

// run takes all steps, the newest first; one that fails keeps none of the others from its turn.
func (c *cleanups) run(ctx context.Context) error {
	c.mu.Lock()
	steps := c.steps
	c.steps = nil
	c.mu.Unlock()
	var errs []error
	for _, step := range slices.Backward(steps) {
		if err := step.undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", step.name, err))
		}
	}
	return errors.Join(errs...)
}
