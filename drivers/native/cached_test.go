package native

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestCachedAnswersFromMemory: the disk is looked at once in a while, and not
// at all for what an allocation has just laid out.
func TestCachedAnswersFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there, looks := map[string]bool{}, 0
		d := &driver{cached: newCached(func(i images.Image) bool { looks++; return there[i.URL] })}
		def := model.LabelDefinition{Options: json.RawMessage(`{"images":[{"url":"https://x/a-1.tar.xz"},{"url":"https://x/b-1.tar.xz"}]}`)}
		want := func(when string, cached bool, looked int) {
			t.Helper()
			if got := d.Cached(def); got != cached || looks != looked {
				t.Errorf("%s: Cached() = %v after %d looks, want %v after %d", when, got, looks, cached, looked)
			}
		}
		want("nothing is there", false, 1)
		want("asked again", false, 1)
		there["https://x/a-1.tar.xz"] = true
		want("got by somebody else", false, 1)
		time.Sleep(lookEvery)
		want("a while later", false, 3) // the first is there, the second is not
		d.cached.learn(images.Image{URL: "https://x/b-1.tar.xz"}, true, time.Now())
		want("an allocation got the second", true, 3)
		if !d.Cached(model.LabelDefinition{Options: json.RawMessage(`{}`)}) {
			t.Error("what needs no image lacks one")
		}
		if d.Cached(model.LabelDefinition{Options: json.RawMessage(`[]`)}) {
			t.Error("what can not be read is at hand")
		}
	})
}
