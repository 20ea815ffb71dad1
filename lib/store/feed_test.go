package store

import (
	"fmt"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// signalled reports whether the subscription has a signal, and takes it.
func signalled(s *Subscription) bool {
	select {
	case <-s.C():
		return true
	default:
		return false
	}
}

func TestFeedTellsWhatChanged(t *testing.T) {
	s := openStore(t, testOptions(t))
	apps, all := s.Subscribe(KindApplication), s.Subscribe()
	defer apps.Close()
	defer all.Close()
	label := newLabel(t, s)
	if signalled(apps) {
		t.Error("a label woke a subscriber to applications")
	}
	app := newApplication(t, s, label.UID, "u").Application.UID
	update(t, s, app, elected(app, 1))
	if !signalled(apps) || signalled(apps) {
		t.Error("want exactly one signal for two changes")
	}
	keys, resync := apps.Take()
	if want := (Key{Kind: KindApplication, UID: app}); len(keys) != 1 || keys[0] != want || resync {
		t.Errorf("Take() = %v, %v, want [%v]", keys, resync, want)
	}
	if keys, resync := apps.Take(); len(keys) != 0 || resync {
		t.Errorf("second Take() = %v, %v, want nothing", keys, resync)
	}
	if keys, _ := all.Take(); len(keys) != 2 {
		t.Errorf("subscriber to all has %v, want the label and the application", keys)
	}
}

func TestFeedTellsNothingOfWhatWasNotWritten(t *testing.T) {
	s := openStore(t, testOptions(t))
	app := newApplication(t, s, newLabel(t, s).UID, "u").Application.UID
	sub := s.Subscribe()
	defer sub.Close()
	update(t, s, app, model.Change{})
	if keys, resync := sub.Take(); len(keys) != 0 || resync || signalled(sub) {
		t.Errorf("Take() = %v, %v after an empty change, want nothing", keys, resync)
	}
}

// TestFeedIsBounded has a subscriber that does not take: it costs a bound, and
// the writer nothing.
func TestFeedIsBounded(t *testing.T) {
	f := newFeed()
	sub := f.subscribe(nil)
	for i := range maxPending + 1 {
		f.publish([]Key{{Kind: KindUser, Name: fmt.Sprint(i)}}, false)
	}
	f.publish([]Key{{Kind: KindUser, Name: "late"}}, false)
	if keys, resync := sub.Take(); len(keys) != 0 || !resync {
		t.Errorf("Take() = %d keys, %v, want a resync alone", len(keys), resync)
	}
	f.publish([]Key{{Kind: KindUser, Name: "later"}}, false)
	if keys, resync := sub.Take(); len(keys) != 1 || resync {
		t.Errorf("Take() = %v, %v, want one key", keys, resync)
	}
	sub.Close()
	f.publish([]Key{{Kind: KindUser, Name: "closed"}}, false)
	if keys, _ := sub.Take(); len(keys) != 0 {
		t.Errorf("Take() = %v after Close, want nothing", keys)
	}
}
