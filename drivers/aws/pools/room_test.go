package pools

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRoomAmongNodes: who asks the owner knows where the room is, and why there
// is none.
func TestRoomAmongNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		small := func(p *Pool) { p.Max = 1 }
		owner, other := s.start(alpha, macPool(small)), s.start(beta, macPool(small))
		zone := []string{"eu-central-1a"}
		if _, _, err := owner.Reserve(within(t, time.Minute), "mac", token(1), zone); err != nil {
			t.Fatal(err)
		}
		owner.Released(t.Context(), "mac", token(1))
		time.Sleep(2 * askRoomEvery)
		for name, p := range map[string]*Pools{"the owner": owner, "the other": other} {
			if n, err := p.Free("mac", zone); n != 1 || err != nil {
				t.Errorf("%s: Free(%v) = %d, %v, want the idle host", name, zone, n, err)
			}
			if n, err := p.Free("mac", []string{"eu-central-1b"}); n != 0 || err == nil || !strings.Contains(err.Error(), "its free hosts are in eu-central-1a") {
				t.Errorf("%s: Free of another zone = %d, %v, want none and why", name, n, err)
			}
		}
	})
}

// TestRoomOfAnOldOwner: one of an older version says how much room there is, and
// not where; and an older version reads what this one says.
func TestRoomOfAnOldOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		s.start(alpha, macPool())
		opts := s.options(beta, macPool())
		answers := opts.Ask
		var fields map[string]any
		opts.Ask = func(ctx context.Context, thing string, body json.RawMessage) (json.RawMessage, error) {
			text, err := answers(ctx, thing, body)
			if err != nil {
				return nil, err
			}
			fields = map[string]any{}
			if err := json.Unmarshal(text, &fields); err != nil {
				return nil, err
			}
			delete(fields, "rooms")
			return json.Marshal(fields)
		}
		p := s.startWith(opts)
		time.Sleep(2 * askRoomEvery)
		for zone, want := range map[string]int{"eu-central-1a": 2, "eu-central-1b": 2, "eu-central-1c": 0} {
			if n, err := p.Free("mac", []string{zone}); n != want || (err == nil) != (want > 0) {
				t.Errorf("Free(%s) = %d, %v, want %d", zone, n, err, want)
			}
		}
		p.Close()
		if diff := cmp.Diff(map[string]any{"room": 2.0}, fields); diff != "" {
			t.Errorf("what an older version reads (-want +got):\n%s", diff)
		}
	})
}
