//go:build linux || darwin

package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	path, err := executable()
	if err != nil {
		return err
	}
	specRead, specWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer specWrite.Close()
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		return errors.Join(err, specRead.Close())
	}
	defer statusRead.Close()
	launcher := exec.CommandContext(ctx, path, Command, roleLaunch, spec.Folder)
	launcher.Args[0] = os.Args[0]
	launcher.Env = keeperEnv()
	launcher.Dir = "/"
	launcher.Stdin, launcher.ExtraFiles = specRead, []*os.File{statusWrite}
	err = launcher.Start()
	_, _ = specRead.Close(), statusWrite.Close() // the launcher has its own
	if err != nil {
		return fmt.Errorf("start keeper: %w", err)
	}
	defer context.AfterFunc(ctx, func() {
		_ = specWrite.SetDeadline(time.Now()) // a pipe that has ended already needs none
		_ = statusRead.SetDeadline(time.Now().Add(startGrace))
	})()
	_, writeErr := specWrite.Write(data)
	_ = specWrite.Close() // else the keeper waits for more
	launchErr := launcher.Wait()
	if err := receive(statusRead, spec.Folder); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return errors.Join(writeErr, launchErr)
}

// receive reads a keeper's answer.
func receive(status io.Reader, folder string) error {
	var a answer
	err := json.NewDecoder(status).Decode(&a)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("keeper died before it started the entry: %s", tail(filepath.Join(folder, traceFile)))
	}
	if err != nil {
		return fmt.Errorf("wait for keeper: %w", err)
	}
	return a.err()
}

// tail returns the beginning of a crash, where Go says why.
func tail(path string) string {
	const most = 500
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return "no reason known"
	}
	return strings.TrimSpace(string(data[:min(most, len(data))]))
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
