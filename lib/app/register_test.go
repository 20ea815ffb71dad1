package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// TestKeepRow: a node that runs for months is not one that was away for them.
func TestKeepRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		self := model.UID{1}
		log := slog.New(slog.DiscardHandler)
		db, err := store.OpenMemory(t.Context(), store.Options{Node: self, Logger: log}, store.NewDisk())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		made, err := db.PutNode(t.Context(), model.Node{UID: self, Name: "a", Pubkey: []byte("key")})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- keepRow(db, log)(ctx) }()
		seq := func() uint64 { return db.Vector()[db.Origin()] }
		before := seq()
		time.Sleep(29 * 24 * time.Hour)
		if seq() != before {
			t.Error("the row is written again before it is old")
		}
		time.Sleep(100 * 24 * time.Hour)
		if n, _ := db.Node(); time.Since(n.UpdatedAt) > rowAge+rowLook || !n.CreatedAt.Equal(made.CreatedAt) {
			t.Errorf("after 129 days the row is of %v, want at most a month ago", n.UpdatedAt)
		}
		if rows := seq() - before; rows < 3 || rows > 5 {
			t.Errorf("%d rows in 129 days, want one a month", rows)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("keepRow = %v", err)
		}
	})
}

// TestKeepRowAfterDeadClock: who starts before NTP has set its clock does not tell for a month that it was last there in
// 1970.
func TestKeepRowAfterDeadClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		self := model.UID{1}
		log := slog.New(slog.DiscardHandler)
		var right atomic.Bool
		db, err := store.OpenMemory(t.Context(), store.Options{Node: self, Logger: log, Now: func() time.Time {
			if right.Load() {
				return time.Now()
			}
			return time.Unix(60, 0)
		}}, store.NewDisk())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.PutNode(t.Context(), model.Node{UID: self, Name: "a", Pubkey: []byte("key")}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- keepRow(db, log)(ctx) }()
		right.Store(true)
		time.Sleep(2 * time.Minute)
		if n, _ := db.Node(); time.Since(n.UpdatedAt) > 2*time.Minute {
			t.Errorf("two minutes after the clock was set the row is of %v", n.UpdatedAt)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("keepRow = %v", err)
		}
	})
}

// TestSeenAt: a row of a start with a dead clock does not say that the node was away for decades.
func TestSeenAt(t *testing.T) {
	now := time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC)
	reading := func(at time.Time) model.HLC { return model.HLC(at.UnixNano()) }
	tests := []struct {
		name    string
		updated time.Time
		hlc     model.HLC
		want    time.Time
	}{
		{"as it should be", now, reading(now), now},
		{"a dead clock, after a life with a right one", time.Unix(60, 0), reading(now) + 1, now.Add(1)},
		{"a first start with a dead clock", time.Unix(60, 0), reading(time.Unix(60, 0)), time.Time{}},
		{"one that begins in 2001", time.Unix(978307200, 0), reading(time.Unix(978307200, 0)), time.Time{}},
		{"really away for long", now.AddDate(-2, 0, 0), reading(now.AddDate(-2, 0, 0)), now.AddDate(-2, 0, 0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := seenAt(model.Node{UpdatedAt: tt.updated, HLC: tt.hlc}); !got.Equal(tt.want) {
				t.Errorf("seenAt = %v, want %v", got, tt.want)
			}
		})
	}
}
