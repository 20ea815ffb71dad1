package vmx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmxfile"
)

// vmState is the key under which VMware notes, in the machine's .vmx, the file
// that it was suspended to. It is empty or missing in one that is not.
const vmState = "checkpoint.vmState"

// facts are what is known of one environment.
type facts struct {
	stopping  bool // it is being removed
	started   bool // it ran
	running   bool // vmrun lists it
	suspended bool // it stands still in a file
	log       guestLog
	monitor   bool // what the log says of a guest counts while its machine is there
}

// presence says what there is, and how it ended where it did. What vmrun lists
// runs, whatever a killed process left to note. A machine that stands still has
// not ended, whoever suspended it.
func (f facts) presence() (p drivers.Presence, ending string) {
	switch {
	case f.stopping:
		return drivers.Partial, ""
	case f.running && f.monitor && f.log.gone != "":
		return drivers.Ended, f.log.gone
	case f.running, f.suspended && f.started:
		return drivers.Running, ""
	case f.started:
		return drivers.Ended, f.log.ending()
	}
	return drivers.Partial, ""
}

// look finds the facts out; vmrun was asked before.
func (d *driver) look(c claims.Claim, running bool) (facts, error) {
	folder := d.workspace.Folder(c.Name)
	f := facts{running: running, monitor: d.settings.LogMonitor}
	var err1, err2, err3, err4 error
	f.stopping, err1 = d.workspace.Stopping(c)
	f.started, err2 = d.workspace.Marked(c, startedFile)
	if !running {
		f.suspended, err3 = suspended(d.workspace.vmx(c.Name))
	}
	f.log, err4 = readLog(folder)
	return f, errors.Join(err1, err2, err3, err4)
}

// inspect asks vmrun, or takes an answer of at most age ago, and finds the
// facts out. A machine that somebody resumes after the answer, and before its
// .vmx is read, is neither listed nor stands still: so none has ended before
// that was found twice, and the second time with an answer of now.
func (d *driver) inspect(ctx context.Context, c claims.Claim, age time.Duration) (f facts, err error) {
	for _, age := range []time.Duration{age, 0} {
		running, err := d.runs(ctx, d.workspace.vmx(c.Name), age)
		if err != nil {
			return facts{}, err
		}
		f, err = d.look(c, running)
		if p, _ := f.presence(); err != nil || running || p != drivers.Ended {
			return f, err
		}
	}
	return f, nil
}

// suspended reports whether a machine that does not run stands still in a file:
// one that crashed in between has the file, but no word of it in its .vmx.
func suspended(vmx string) (bool, error) {
	f, err := vmxfile.Read(vmx)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	name, _ := f.Get(vmState)
	if name == "" {
		return false, nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(vmx), name)
	}
	return exists(name)
}

// roster is what vmrun lists, shared by all who can do with an answer of a
// moment ago.
type roster struct {
	ask func(context.Context) ([]string, error)

	mu    sync.Mutex // guards what is below; never held while asking
	paths map[string]bool
	err   error         // instead of paths
	at    time.Time     // when the question was asked
	turn  chan struct{} // holds one value while nobody asks
}

func newRoster(ask func(context.Context) ([]string, error)) *roster {
	r := &roster{ask: ask, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	return r
}

// hangs is how long a list takes that others need not try in their turn.
const hangs = time.Second

// get returns what runs, as of at most age before the call. That vmrun did not
// answer for long is told to all who waited for that answer: one that hangs
// would else be waited for by one after the other.
func (r *roster) get(ctx context.Context, age time.Duration) (map[string]bool, error) {
	called := time.Now()
	select {
	case <-r.turn:
		defer func() { r.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for vmrun list: %w", ctx.Err())
	}
	if paths, ok, err := r.kept(called, age); ok || err != nil {
		return paths, err
	}
	at := time.Now()
	found, err := r.ask(ctx)
	if err != nil && (ctx.Err() != nil || time.Since(at) < hangs) {
		return nil, err // that who asked gave up says nothing about vmrun, and what failed at once may go well at once
	}
	paths := make(map[string]bool, 2*len(found))
	for _, p := range found {
		paths[p] = true
		if resolved, err := filepath.EvalSymlinks(p); err == nil {
			paths[resolved] = true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths, r.err, r.at = paths, err, at
	return paths, err
}

// kept is the last answer, if it is one for a call of then; also that of
// another who waited as long.
func (r *roster) kept(called time.Time, age time.Duration) (paths map[string]bool, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		age = 0
	}
	if r.at.IsZero() || r.at.Before(called.Add(-age)) {
		return nil, false, nil
	}
	return r.paths, r.err == nil, r.err
}

// runs reports whether vmrun lists a machine, as of at most age ago.
func (d *driver) runs(ctx context.Context, vmx string, age time.Duration) (bool, error) {
	paths, err := d.roster.get(ctx, age)
	return paths[vmx], err
}

// await waits until vmrun lists a machine, or does not any more. Its list may
// lag behind what its other calls said.
func (d *driver) await(ctx context.Context, vmx string, want bool) (bool, error) {
	const settle, every = 5 * time.Second, 100 * time.Millisecond
	deadline := time.Now().Add(settle)
	for {
		is, err := d.runs(ctx, vmx, 0)
		if err != nil || is == want || time.Now().After(deadline) {
			return is == want, err
		}
		if err := pause(ctx, every); err != nil {
			return false, err
		}
	}
}

// pause waits, or returns why ctx ended before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startedAt is when an environment's machine had been started.
func (d *driver) startedAt(c claims.Claim) (time.Time, error) {
	info, err := os.Stat(filepath.Join(d.workspace.Folder(c.Name), startedFile))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
