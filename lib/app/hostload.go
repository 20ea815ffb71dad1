package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/hostfacts"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

// loadPeriod is how often the machine is looked at: as often as a node says how it is.
const loadPeriod = 30 * time.Second

// machineLoad is how busy the machine was when it was looked at last.
type machineLoad struct {
	folder string
	at     atomic.Pointer[hostfacts.Load]
}

func (l *machineLoad) run(ctx context.Context) error {
	look := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, hostfacts.DefaultTimeout)
		defer cancel()
		found := hostfacts.Measure(ctx, l.folder)
		l.at.Store(&found)
	}
	look(ctx)
	loop.Every(ctx, loadPeriod, look)
	return nil
}

func (l *machineLoad) last() hostfacts.Load {
	if at := l.at.Load(); at != nil {
		return *at
	}
	return hostfacts.Load{}
}
