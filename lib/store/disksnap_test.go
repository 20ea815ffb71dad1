package store

import (
	"context"
	"log/slog"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestDiskRewind: a volume that was put back with its marker does not tell; one
// whose database alone was put back does.
func TestDiskRewind(t *testing.T) {
	for _, tt := range []struct {
		name   string
		back   func(disk *Disk) (restore func())
		bumped bool
	}{
		{"the whole volume", func(d *Disk) func() { s := d.Snapshot(); return func() { d.Rewind(s) } }, false},
		{"the database", func(d *Disk) func() { s := d.Copy(); return func() { d.Restore(s) } }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, disk := context.Background(), NewDisk()
			open := func() *Store {
				s, err := OpenMemory(ctx, Options{Node: model.UID{1}, Logger: slog.New(slog.DiscardHandler)}, disk)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			put := func(s *Store, name string) {
				if _, err := s.PutUser(ctx, name, func(*model.User) (model.User, error) { return model.User{}, nil }); err != nil {
					t.Fatal(err)
				}
			}
			s := open()
			put(s, "old")
			_ = s.Close()
			restore := tt.back(disk)
			s = open()
			put(s, "new")
			_ = s.Close()
			restore()
			s = open()
			defer func() { _ = s.Close() }()
			_, old := s.UserByName("old")
			_, young := s.UserByName("new")
			if !old || young || s.Bumped() != tt.bumped {
				t.Errorf("the old row is there: %v, the young one: %v, bumped: %v, want true, false, %v", old, young, s.Bumped(), tt.bumped)
			}
		})
	}
}
