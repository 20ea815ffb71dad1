package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestOwnership is told to all and stays; one that is not wanted any more, or
// that another node forged, is none.
func TestOwnership(t *testing.T) {
	always := func([]model.Ownership, []model.Retirement) bool { return true }
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		a, s := openOther(t, 1), reopen()
		sub := s.Subscribe(KindOwnership)
		defer sub.Close()
		made, err := a.CreateOwnership(t.Context(), model.Ownership{Thing: "aws/mac", To: a.opts.Node, UID: model.UID{1}, By: model.UID{2}}, always)
		if err != nil || made.By != a.opts.Node || made.HLC == 0 || made.CreatedAt.IsZero() {
			t.Fatalf("CreateOwnership = %+v, %v", made, err)
		}
		hand(t, a, s)
		if keys, _ := sub.Take(); len(keys) != 1 {
			t.Errorf("feed told %v, want the record", keys)
		}
		none, err := s.CreateOwnership(t.Context(), model.Ownership{Thing: "aws/mac", To: testNode}, func(records []model.Ownership, _ []model.Retirement) bool {
			return len(records) == 0
		})
		if err != nil || none.UID != model.NilUID {
			t.Errorf("CreateOwnership = %+v, %v, want none: it is another one's meanwhile", none, err)
		}
		if _, err := s.CreateOwnership(t.Context(), model.Ownership{To: testNode}, always); err == nil {
			t.Error("an ownership of nothing was stored")
		}
		liar := openOther(t, 3)
		forged := made
		forged.UID, forged.To = model.UID{77}, liar.opts.Node
		body, err := replica.EncodeOwnership(forged)
		if err != nil {
			t.Fatal(err)
		}
		row := replica.Row{Kind: replica.KindOwnership, Key: forged.UID[:], Body: body, Version: replica.Version{HLC: 9, Origin: liar.Origin(), Seq: 1}}
		if err := s.Replicate(t.Context(), []replica.Batch{{Origin: liar.Origin(), To: 1, Rows: []replica.Row{row}}}); err != nil {
			t.Fatal(err)
		}
		s = reopen()
		if diff := cmp.Diff([]model.Ownership{made}, s.Ownerships()); diff != "" {
			t.Errorf("Ownerships() (-want +got)\n%s", diff)
		}
	})
}
