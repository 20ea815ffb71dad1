package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/jsonstream"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

// TestComing: a flight that gets further than the one before it did.
func TestComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := quiet(t, nil)
		list := []images.Image{{Name: "base", Version: "1"}, {Name: "agent", Version: "1"}}
		all, err := i.readAll(list)
		if err != nil {
			t.Fatal(err)
		}
		end := make(chan error)
		begin := func(key string, shown bool) *flight {
			f, err := i.join(key, all[0], shown, func(context.Context, *flight) (known, error) { return known{}, <-end })
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		fail := func() {
			end <- errors.New("no route to host")
			synctest.Wait()
		}
		want := func(when string, list []images.Image, coming bool) {
			t.Helper()
			if got := i.Coming(list); got != coming {
				t.Errorf("%s: Coming() = %v", when, got)
			}
		}
		want("nobody asked", list[:1], false)
		f := begin(all[0].key, true)
		want("nothing of it came", list[:1], false)
		i.reach(f, 5)
		want("some came", list[:1], true)
		want("of several, which nobody asked for", list, false)
		whole := begin(flightOf(all), false)
		want("of several", list, true)
		time.Sleep(time.Minute)
		i.reach(f, 5)
		want("no more came", list[:1], false)
		want("no more of several came", list, false)
		i.reach(f, 6)
		want("more came", list, true)
		fail()
		fail()
		if !whole.finished || !f.finished {
			t.Fatal("a flight did not end")
		}
		want("it failed", list[:1], false)
		f = begin(all[0].key, true)
		i.reach(f, 6)
		want("asked for again", list[:1], false)
		i.reach(f, 7)
		want("asked for again, and further", list[:1], true)
		fail()
		time.Sleep(failureAge)
		f = begin(all[0].key, true)
		i.reach(f, 1)
		want("long after it failed", list[:1], true)
		fail()
		want("what can not be read", nil, false)
	})
}

// TestSteps: each step of each layer counts, and nothing that goes back.
func TestSteps(t *testing.T) {
	s := steps{}
	said := func(layer, what string, current int64) jsonstream.Message {
		return jsonstream.Message{ID: layer, Status: what, Progress: &jsonstream.Progress{Current: current}}
	}
	for _, m := range []struct {
		jsonstream.Message
		want int64
	}{
		{said("a", "Downloading", 10), 10}, {said("b", "Downloading", 5), 15}, {jsonstream.Message{ID: "a", Status: "Retrying in 5 seconds"}, 15},
		{said("a", "Downloading", 3), 15}, {said("a", "Downloading", 11), 16}, {said("a", "Extracting", 4), 20}, {said("", "Downloading", 9), 20},
	} {
		if got := s.add(m.Message); got != m.want {
			t.Errorf("after %q of %q: %d, want %d", m.Status, m.ID, got, m.want)
		}
	}
}
