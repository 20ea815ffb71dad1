package images

import (
	"errors"
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
			looked: map[Image]look{},
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
		m.learn(list[1], true, time.Now())
		want("an allocation got the second", true, 3)
		list = nil
		want("what needs no image", true, 3)
		m.read = func(model.LabelDefinition) ([]Image, error) { return nil, errors.New("unreadable") }
		want("what can not be read", false, 3)
	})
}
