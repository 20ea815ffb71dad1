package store

import (
	"path/filepath"
	"testing"
	"time"
)

// TestAhead: a machine whose clock was years ahead writes so for years, also after a restart with the right time.
func TestAhead(t *testing.T) {
	for _, p := range places(filepath.Join(t.TempDir(), "db")) {
		t.Run(p.name, func(t *testing.T) {
			now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
			for _, step := range []struct {
				name string
				now  time.Time
				held bool
			}{
				{"right", now, false},
				{"a little ahead", now.Add(4 * time.Minute), false},
				{"right again", now.Add(time.Second), false},
				{"years ahead", now.AddDate(9, 0, 0), false},
				{"set right", now.Add(time.Minute), true},
				{"years later", now.AddDate(9, 0, 0), false},
			} {
				s, err := p.open(Options{Node: testNode, Logger: quiet(), Now: func() time.Time { return step.now }})
				if err != nil {
					t.Fatal(err)
				}
				newLabel(t, s)
				by, held := s.Ahead()
				if held != step.held || by > 10*365*24*time.Hour || held && by < 8*365*24*time.Hour {
					t.Errorf("%s: ahead by %v, held back: %v, want %v", step.name, by, held, step.held)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
