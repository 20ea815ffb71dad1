package app

import (
	"context"
	"log/slog"
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
