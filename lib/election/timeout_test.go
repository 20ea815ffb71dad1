package election

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestLongestVoteTimeout: whatever the configuration takes is over before the round is, so that a node which never votes
// does not hold up the others for ever.
func TestLongestVoteTimeout(t *testing.T) {
	since := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		timeout string
		taken   bool
	}{{"3s", true}, {"25s", true}, {"26s", false}, {"30s", false}} {
		timeout, err := votesAwaited(t, tt.timeout)
		if taken := err == nil; taken != tt.taken {
			t.Errorf("vote_timeout %s: %v, want it taken: %v", tt.timeout, err, tt.taken)
		}
		if err == nil && !decidesWithoutOne(timeout, since) {
			t.Errorf("with a vote_timeout of %s a vote that never comes is waited for for ever", tt.timeout)
		}
	}
}

func decidesWithoutOne(timeout time.Duration, since time.Time) bool {
	for at := since; at.Before(since.Add(5 * time.Minute)); at = at.Add(time.Second) {
		round, opened := RoundAt(since, at)
		decision, _ := Decide(Poll{
			Round: round, OpenedAt: opened, Active: []model.UID{node(1), node(2)}, Votes: []model.Vote{{NodeUID: node(1)}}, Timeout: timeout,
		}, at)
		if decision != nil {
			return true
		}
	}
	return false
}

// votesAwaited is the vote_timeout of a configuration.
func votesAwaited(t *testing.T, value string) (time.Duration, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fish.yml")
	if err := os.WriteFile(path, []byte("vote_timeout: "+value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(t.Context(), config.Flags{File: path}, config.Host{
		Name:        func() (string, error) { return "builder", nil },
		Identifiers: func(context.Context) ([]string, error) { return nil, nil },
	})
	if err != nil {
		return 0, err
	}
	return cfg.VoteTimeout, nil
}
