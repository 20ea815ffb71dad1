//go:build linux || darwin

package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout bounds Start where its context does not; enterTimeout and a
	// crowded machine fit in.
	startTimeout = 60 * time.Second
	// startGrace is how long a cancelled Start waits for an answer that is on
	// its way, so that in nearly all cases nothing begins after it returned.
	startGrace = time.Second
	// busyPause is between looks at a keeper that another Start has begun.
	busyPause = 20 * time.Millisecond
)

// Start starts the entry under a keeper of its own, and returns when the entry
// was executed, or why it could not be, in words for the user. It does nothing
// if the token's keeper lives. ErrEnded and ErrStopped tell that nothing may
// start in the folder any more. A cancelled Start may leave a running entry:
// Look tells.
func Start(ctx context.Context, spec Spec) error {
	if err := spec.validate(); err != nil {
		return err
	}
	spec = spec.withDefaults()
	spec.Env = slices.DeleteFunc(slices.Clone(spec.Env), func(pair string) bool {
		return strings.HasPrefix(pair, TokenVariable+"=")
	})
	spec.Env = append(spec.Env, TokenVariable+"="+spec.Token)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("start environment: %w", err)
		}
		state, err := Look(spec.Folder, spec.Token)
		switch {
		case err != nil:
			return err
		case state.Presence == Running:
			return nil
		case state.Presence == Ended:
			return ErrEnded
		case state.Presence == None:
			if err := spawn(ctx, spec); !errors.Is(err, errBusy) {
				return err
			}
		}
		if err := pause(ctx, busyPause); err != nil {
			return fmt.Errorf("wait for another start of the environment: %w", err)
		}
	}
}

// spawn starts a keeper and returns its answer.
func spawn(ctx context.Context, spec Spec) error {
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	k, specs, answers, err := fork(spec.Folder)
	defer specs.Close()
	defer answers.Close()
	if err != nil {
		return fmt.Errorf("start keeper: %w", err)
	}
	defer context.AfterFunc(ctx, func() {
		_ = specs.SetDeadline(time.Now()) // a pipe that is closed already needs none
		_ = answers.SetDeadline(time.Now().Add(startGrace))
	})()
	_, writeErr := specs.Write(data)
	_ = specs.Close() // else the keeper waits for more
	if err := receive(answers, spec.Folder); err != nil {
		if ctx.Err() == nil {
			_, _ = k.Wait() // it ends at once, and its answer says more
		}
		return errors.Join(ctx.Err(), err)
	}
	return errors.Join(writeErr, k.Release())
}

// fork starts the keeper's process with nothing of the node's but two pipes:
// one takes its spec, which holds secrets, and one gives its answer.
func fork(folder string) (k *os.Process, specs, answers *os.File, err error) {
	path, err := executable()
	if err != nil {
		return nil, nil, nil, err
	}
	trace, err := os.OpenFile(filepath.Join(folder, traceFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, nil, err
	}
	defer trace.Close()
	p := &pipes{}
	defer p.closeTheirs()
	specs, answers = p.to("spec"), p.from("answer")
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err := errors.Join(p.err, err); err != nil {
		return nil, nil, nil, err
	}
	defer null.Close()
	k, err = os.StartProcess(path, []string{os.Args[0], Command, roleRun, folder}, &os.ProcAttr{
		Dir:   "/", // the keeper must not keep a folder or a mount busy
		Env:   keeperEnv(),
		Files: []*os.File{p.theirs[0], null, trace, p.theirs[1]},
		Sys:   &syscall.SysProcAttr{Setsid: true}, // no signal to the node's group or terminal reaches it
	})
	return k, specs, answers, err
}

// receive reads a keeper's answer.
func receive(status io.Reader, folder string) error {
	var a answer
	err := json.NewDecoder(status).Decode(&a)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("keeper died before it started the entry: %s", crash(filepath.Join(folder, traceFile)))
	}
	if err != nil {
		return fmt.Errorf("wait for keeper: %w", err)
	}
	return a.err()
}

// crash returns the first line of what a keeper said when it died.
func crash(path string) string {
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return "no reason known"
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

// keeperEnv is the environment of the roles: nothing of the node's secrets, and
// a Go runtime that stays small (there is one keeper per environment).
func keeperEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=1", "GOGC=25", "GOMEMLIMIT=16MiB", "GOTRACEBACK=single"}
}

// pause waits, unless the context ends before.
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
