package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Handing is what a handover needs beside the election.
type Handing struct {
	// Store keeps the handover; it fills in what it alone knows.
	Store interface {
		CreateHandover(ctx context.Context, h model.Handover) (model.Handover, error)
	}
	// Acknowledge returns nil once the successor has, durable, all that this
	// node knows: its own grants, and those of who handed their role to it.
	Acknowledge func(ctx context.Context, successor model.UID) error
}

// ErrNobodyToTake says that no other node is active.
var ErrNobodyToTake = errors.New("no other node is active that could take it")

// HandOver gives away what this node decides and what does not run yet, for a
// node that is shut down for maintenance; never for one that is merely
// restarted, whose queue waits for it. It returns the successor, NilUID if
// there was nothing to give. On an error before the handover is written the
// node decides as before; else Admit refuses from here to the end of the
// process. Call it while Run runs; it takes until the successor
// acknowledged, or ctx ends.
func (e *Election) HandOver(ctx context.Context, with Handing) (successor model.UID, err error) {
	var others []model.UID
	for _, node := range e.opts.Cluster.Active() {
		if node != e.opts.Node {
			others = append(others, node)
		}
	}
	if len(others) == 0 {
		if !e.gives() {
			return model.NilUID, nil
		}
		return model.NilUID, ErrNobodyToTake
	}
	if e.lapsed() { // the successor would trust that it knows all grants
		return model.NilUID, ErrForgetful
	}
	successor = nearest(e.opts.Node, others)
	e.setGiving(true)
	if err := e.accepted(ctx); err != nil {
		e.setGiving(false)
		return model.NilUID, fmt.Errorf("wait for applications that are being accepted: %w", err)
	}
	if !e.gives() {
		return model.NilUID, nil
	}
	if err := e.handOver(ctx, with, successor); err != nil {
		return model.NilUID, err
	}
	// It is given. That the successor hears of it before the shutdown is the
	// rule; where it does not it will when this node is back.
	if err := with.Acknowledge(ctx, successor); err != nil {
		e.opts.Logger.Warn("successor did not acknowledge the handover, what waits is granted when this node is back",
			"successor", e.nameOf(successor), "error", err)
	}
	e.opts.Logger.Info("what waits was handed over", "successor", e.nameOf(successor))
	return successor, nil
}

// handOver writes the handover once no grant of this node is on its way and
// the successor knows all grants.
func (e *Election) handOver(ctx context.Context, with Handing, successor model.UID) (err error) {
	written := false
	defer func() {
		if !written {
			e.setGiving(false)
		}
	}()
	if err := e.cameRound(ctx); err != nil {
		return fmt.Errorf("hand over to node %s: %w", e.nameOf(successor), err)
	}
	if err := with.Acknowledge(ctx, successor); err != nil {
		return fmt.Errorf("hand over to node %s: %w", e.nameOf(successor), err)
	}
	written = true // or not known: then this process grants no more of it
	if _, err := with.Store.CreateHandover(ctx, model.Handover{NodeUID: e.opts.Node, Successor: successor}); err != nil {
		return fmt.Errorf("write handover to node %s: %w", e.nameOf(successor), err)
	}
	return nil
}

// gives reports whether this node decides anything that is not decided.
func (e *Election) gives() bool {
	here := e.standpoint()
	for _, entry := range e.opts.Store.Open() {
		if f := entry.Fold; here.arbiter(entry.Application) == e.opts.Node && f.Allocated == nil && !f.Final && !f.Closed {
			return true
		}
	}
	return false
}

// Admit asks whether this node takes a new application. Not while what waits is
// handed over, and after it: it would wait for as long as the node is away. If it
// does, done has to be called once the application is stored, or is not: a
// handover waits for that, so that the application is within it.
func (e *Election) Admit() (done func(), ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.giving {
		return nil, false
	}
	e.admitted++
	return sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.admitted--
	}), true
}

// accepted returns when no application is being accepted any more.
func (e *Election) accepted(ctx context.Context) error {
	return until(ctx, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.admitted == 0
	})
}

func (e *Election) setGiving(giving bool) {
	e.mu.Lock()
	e.giving = giving
	e.mu.Unlock()
	e.Wake()
}

// cameRound returns when a round that began after the call is over: all grants
// of earlier ones are written or given up.
func (e *Election) cameRound(ctx context.Context) error {
	goal := e.Beats() + 2
	return until(ctx, func() bool {
		if e.Beats() >= goal {
			return true
		}
		e.Wake()
		return false
	})
}

// until returns when something holds, or with the context's error.
func until(ctx context.Context, holds func() bool) error {
	const poll = 10 * time.Millisecond
	for !holds() {
		if err := loop.Sleep(ctx, poll); err != nil {
			return err
		}
	}
	return nil
}
