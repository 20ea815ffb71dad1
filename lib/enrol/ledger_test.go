package enrol

import (
	"path/filepath"
	"testing"
	"time"
)

// TestNobodyWaitsForTheDisk: strangers come whenever they like, and are looked up while a change is being written.
func TestNobodyWaitsForTheDisk(t *testing.T) {
	l, err := openLedger(filepath.Join(t.TempDir(), "invitations.json"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := l.add(Invitation{Name: "a", CreatedAt: now, ExpiresAt: now.Add(time.Hour)}, now); err != nil {
		t.Fatal(err)
	}
	err = l.change(now, func(all []Invitation) ([]Invitation, error) {
		all[0].Name = "b"
		looked := make(chan []Invitation, 1)
		go func() { looked <- l.list(now) }()
		select {
		case was := <-looked:
			if len(was) != 1 || was[0].Name != "a" {
				t.Errorf("before the change is stored there are %v", was)
			}
		case <-time.After(10 * time.Second):
			t.Error("a look waits for the change")
		}
		return all, nil
	})
	if is := l.list(now); err != nil || len(is) != 1 || is[0].Name != "b" {
		t.Errorf("after the change, %v, there are %v", err, is)
	}
}
