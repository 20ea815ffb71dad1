package images

import (
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestCachedAnswersFromMemory: the disk is looked at once in a while, and not
// at all for what an allocation has just laid out.
func TestCachedAnswersFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there, looks := map[string]bool{}, 0
		list := []Image{{URL: "https://x/a-1.tar.xz"}, {URL: "https://x/b-1.tar.xz"}}
		m := &Manager{
			have:   func(i Image) bool { looks++; return there[i.URL] },
			read:   func(model.LabelDefinition) ([]Image, error) { return list, nil },
			spawn:  func(do func()) bool { go do(); return true },
			looked: map[Image]*look{}, landings: func() uint64 { return 0 },
		}
		want := func(when string, cached bool, looked int) {
			t.Helper()
			if got := m.Cached(model.LabelDefinition{}); got != cached || looks != looked {
				t.Errorf("%s: Cached() = %v after %d looks, want %v after %d", when, got, looks, cached, looked)
			}
		}
		want("nothing is there", false, 1)
		want("asked again", false, 1)
		there["https://x/a-1.tar.xz"] = true
		want("got by somebody else", false, 1)
		time.Sleep(lookEvery)
		want("a while later", false, 3) // the first is there, the second is not
		m.learn(list[1])
		want("an allocation got the second", true, 3)
		list = nil
		want("what needs no image", true, 3)
		m.read = func(model.LabelDefinition) ([]Image, error) { return nil, errors.New("unreadable") }
		want("what can not be read", false, 3)
	})
}

// One image that can not be got keeps none of the others from coming, and after
// an error nothing is held.
func TestManagerOfSeveral(t *testing.T) {
	s, image := shelf(t)
	c := newCache(t, Options{Owner: "node"})
	list := []Image{image("a"), {URL: s.URL + "/none-1.tar"}, image("b"), image("a")}
	m := NewManager(c, func(model.LabelDefinition) ([]Image, error) { return list, nil })
	err := m.PullImages(deadline(t), model.LabelDefinition{})
	if err == nil || !strings.Contains(err.Error(), "none-1") || ids(t, c) != "a-1 b-1" {
		t.Errorf("PullImages = %v, there is %s", err, ids(t, c))
	}
	if _, _, err := m.UseImages(deadline(t), list, Holder{Name: "token"}); err == nil {
		t.Error("UseImages of what is not to be had = nil")
	}
	for _, id := range []string{"a-1", "b-1"} {
		wantInUse(t, c, id, true)
	}
	if err := c.Unuse("token"); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"a-1", "b-1"} {
		wantInUse(t, c, id, false)
	}
	list = []Image{list[2], list[0]}
	laid, release, err := m.UseImages(deadline(t), list, Holder{})
	if err != nil || len(laid) != 2 || laid[0].Name != "b" || laid[1].Name != "a" {
		t.Fatalf("UseImages = %+v, %v", laid, err)
	}
	wantInUse(t, c, "a-1", true)
	release()
	wantInUse(t, c, "a-1", false)
	if !m.Cached(model.LabelDefinition{}) {
		t.Error("Cached is false of what was just used")
	}
	if err := m.RemoveImage(deadline(t), "a-1"); err != nil || m.Cached(model.LabelDefinition{}) {
		t.Errorf("RemoveImage = %v, or it is still thought to be there", err)
	}
}

// TestCachedOfWhatHangs: a vote waits a moment for a disk that does not answer,
// once, and what is learnt meanwhile is not forgotten for the late answer.
func TestCachedOfWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		image := Image{URL: "https://x/a-1.tar.xz"}
		m := &Manager{
			have:   func(Image) bool { looks.Add(1); time.Sleep(time.Hour); return false },
			read:   func(model.LabelDefinition) ([]Image, error) { return []Image{image}, nil },
			spawn:  func(do func()) bool { go do(); return true },
			looked: map[Image]*look{}, landings: func() uint64 { return 0 },
		}
		began := time.Now()
		for range 100 {
			if m.Cached(model.LabelDefinition{}) {
				t.Fatal("Cached() = true of what nobody knows")
			}
		}
		if took := time.Since(began); took != patience || looks.Load() != 1 {
			t.Errorf("100 votes took %v and %d looks, want %v and 1", took, looks.Load(), patience)
		}
		time.Sleep(time.Hour - patience - lookEvery/2)
		m.learn(image)
		time.Sleep(lookEvery / 2)
		synctest.Wait() // the look ended
		time.Sleep(time.Second)
		if !m.Cached(model.LabelDefinition{}) || looks.Load() != 1 {
			t.Errorf("Cached() = false, %d looks, of what an allocation got", looks.Load())
		}
		for i := range mostLooked + 10 {
			m.one(Image{URL: strconv.Itoa(i)}, time.Now())
		}
		if looks.Load() > mostLooked+1 {
			t.Errorf("%d looks hang, want %d at most", looks.Load(), mostLooked)
		}
		time.Sleep(time.Hour) // all end, or the bubble would tell
	})
}
