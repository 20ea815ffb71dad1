package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// statesOf tells who wrote what of an application: what counts, and what is void.
func statesOf(t *testing.T, s *Store, app model.UID) (counts, void []string) {
	t.Helper()
	e, err := s.Application(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	tell := func(states []model.ApplicationState) (list []string) {
		for _, s := range states {
			list = append(list, fmt.Sprintf("%d %s %d", s.NodeUID[0]-100, s.Status, s.Epoch))
		}
		slices.Sort(list)
		return list
	}
	return tell(e.States), tell(e.Void)
}

// ofNode is the change with a grant that names the node.
func ofNode(c model.Change, winner *Store) model.Change {
	c.States[0].Decision.Winner = winner.opts.Node
	return c
}

func wrote(status model.Status, epoch uint32) model.Change {
	return model.Change{States: []model.ApplicationState{{Status: status, Epoch: epoch, Description: "x"}}}
}

// TestLyingPeer: a member that grants, closes and ends what is none of its
// business is kept and passed on, and nobody believes it, in whatever order the
// rows come; nor does it itself.
func TestLyingPeer(t *testing.T) {
	arbiter, executor, liar := openOther(t, 1), openOther(t, 2), openOther(t, 3)
	label := newLabel(t, arbiter)
	app := newApplication(t, arbiter, label.UID, "u").Application.UID
	hand(t, arbiter, liar)
	update(t, liar, app, ofNode(elected(app, 7), liar)) // before there is any grant
	update(t, arbiter, app, ofNode(elected(app, 1), executor))
	hand(t, arbiter, liar)
	for _, lie := range []model.Change{
		ofNode(elected(app, 1), liar), wrote(model.StatusClosed, 0), wrote(model.StatusError, 0), wrote(model.StatusError, 1),
		wrote(model.StatusDeclined, 1), wrote(model.StatusDeallocated, 1), wrote(model.StatusAllocated, 1),
	} {
		update(t, liar, app, lie)
	}
	hand(t, arbiter, executor)
	update(t, executor, app, intent(1))
	update(t, executor, app, allocated(1))
	want := []string{"1 ELECTED 1", "1 NEW 0", "2 ALLOCATED 1", "3 ALLOCATED 1"}
	lies := []string{"3 CLOSED 0", "3 DEALLOCATED 1", "3 DECLINED 1", "3 ELECTED 1", "3 ELECTED 7", "3 ERROR 0", "3 ERROR 1"}
	sources := []*Store{arbiter, executor, liar}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		eachEngine(t, func(t *testing.T, reopen func() *Store) {
			s := reopen()
			for _, i := range order {
				if err := s.Replicate(t.Context(), []replica.Batch{rowsFrom(t, sources[i])}); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				e, err := s.Application(t.Context(), app)
				if err != nil || e.Fold.Status() != model.StatusAllocated || e.Resource == nil || e.Resource.NodeUID != executor.opts.Node || e.Fold.LastEpoch != 1 {
					t.Fatalf("%v: %+v, %v, want it ALLOCATED by its grant", order, e.Fold, err)
				}
				counts, void := statesOf(t, s, app)
				if diff := cmp.Diff(want, counts); diff != "" {
					t.Errorf("%v: what counts (-want +got)\n%s", order, diff)
				}
				if diff := cmp.Diff(lies, void); diff != "" {
					t.Errorf("%v: what does not (-want +got)\n%s", order, diff)
				}
				if got := len(rowsOf(t, s, liar.Origin())); got != len(rowsFrom(t, liar).Rows) {
					t.Errorf("%d rows of the liar are passed on, want all", got)
				}
				s = reopen()
			}
		})
	}
	hand(t, executor, liar)
	if counts, _ := statesOf(t, liar, app); !slices.Equal(counts, want) {
		t.Errorf("the liar believes %v", counts)
	}
}

// TestForgedGrantIsDropped: a row that says that another node wrote it, or would
// take the place of another one's grant, is of nobody.
func TestForgedGrantIsDropped(t *testing.T) {
	arbiter, liar, s := openOther(t, 1), openOther(t, 3), openOther(t, 4)
	label := newLabel(t, arbiter)
	app := newApplication(t, arbiter, label.UID, "u").Application.UID
	update(t, arbiter, app, elected(app, 1))
	hand(t, arbiter, s)
	grant := model.GrantUID(app, 1, arbiter.opts.Node)
	var rows []replica.Row
	for i, writer := range []model.UID{arbiter.opts.Node, liar.opts.Node} {
		state := model.ApplicationState{UID: grant, ApplicationUID: app, Status: model.StatusElected, Epoch: 1, NodeUID: writer, HLC: 1}
		state.Decision = &model.Decision{Winner: liar.opts.Node}
		body, err := replica.EncodeApplicationState(state)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, replica.Row{
			Kind: replica.KindApplicationState, Key: grant[:], Body: body, Version: replica.Version{HLC: 1, Origin: liar.Origin(), Seq: uint64(i + 1)},
		})
	}
	rows = append(rows, replica.Row{Kind: replica.KindApplicationState, Key: grant[:], Deleted: true, Version: replica.Version{HLC: 1, Origin: liar.Origin(), Seq: 3}})
	if err := s.Replicate(t.Context(), []replica.Batch{{Origin: liar.Origin(), To: 3, Rows: rows}}); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Application(t.Context(), app); err != nil || e.Fold.Grant == nil || e.Fold.Grant.Decision.Winner == liar.opts.Node {
		t.Errorf("the grant is %+v, %v, want the arbiter's", e.Fold.Grant, err)
	}
}

// TestSuccessorIsBelieved as soon as it is known to be one, and not before; who
// decided before it is believed further on.
func TestSuccessorIsBelieved(t *testing.T) {
	arbiter, executor, successor, other := openOther(t, 1), openOther(t, 2), openOther(t, 3), openOther(t, 4)
	label := newLabel(t, arbiter)
	app := newApplication(t, arbiter, label.UID, "u").Application.UID
	update(t, arbiter, app, ofNode(elected(app, 1), executor))
	hand(t, arbiter, executor)
	update(t, executor, app, wrote(model.StatusDeclined, 1))
	hand(t, executor, successor)
	hand(t, executor, other)
	if _, err := other.CreateRetirement(t.Context(), model.Retirement{NodeUID: arbiter.opts.Node, Successor: successor.opts.Node}); err != nil {
		t.Fatal(err)
	}
	hand(t, other, successor)
	update(t, successor, app, ofNode(elected(app, 2), executor))
	sources := map[string]*Store{"arbiter": arbiter, "executor": executor, "successor": successor, "other": other}
	for _, order := range [][]string{
		{"arbiter", "executor", "successor", "other"}, {"other", "successor", "executor", "arbiter"}, {"successor", "arbiter", "other", "executor"},
		{"successor", "arbiter", "executor", "other"},
	} {
		eachEngine(t, func(t *testing.T, reopen func() *Store) {
			s := reopen()
			sub := s.Subscribe(KindApplication)
			defer sub.Close()
			have := map[string]bool{}
			for _, name := range order {
				sub.Take()
				if err := s.Replicate(t.Context(), []replica.Batch{rowsFrom(t, sources[name])}); err != nil {
					t.Fatal(err)
				}
				if have[name] = true; !have["arbiter"] {
					continue
				}
				e, err := s.Application(t.Context(), app)
				if err != nil {
					t.Fatal(err)
				}
				if believed := e.Fold.LastEpoch == 2; believed != (have["successor"] && have["other"]) {
					t.Errorf("with %v the successor is believed: %v", have, believed)
				}
				if keys, _ := sub.Take(); name == "other" && have["successor"] && len(keys) == 0 {
					t.Error("nobody is told that a grant counts now")
				}
			}
			s = reopen()
			counts, void := statesOf(t, s, app)
			if diff := cmp.Diff([]string{"1 ELECTED 1", "1 NEW 0", "2 DECLINED 1", "3 ELECTED 2"}, counts); diff != "" || void != nil {
				t.Errorf("counts (-want +got), and void %v\n%s", void, diff)
			}
		})
	}
}

// TestTwoRetirements of one node, on two sides of a cut: all agree on the first
// one's successor, and still believe what the other one granted, of each epoch
// the older grant. So nothing that runs is granted again.
func TestTwoRetirements(t *testing.T) {
	arbiter, first, second := openOther(t, 1), openOther(t, 2), openOther(t, 3)
	label := newLabel(t, arbiter)
	both := newApplication(t, arbiter, label.UID, "u").Application.UID
	lost := newApplication(t, arbiter, label.UID, "u").Application.UID
	hand(t, arbiter, first)
	hand(t, arbiter, second)
	for _, s := range []*Store{first, second} {
		r := model.Retirement{NodeUID: arbiter.opts.Node, Successor: s.opts.Node, Forced: true}
		if _, err := s.CreateRetirement(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	update(t, second, lost, ofNode(elected(lost, 1), second))
	update(t, second, lost, intent(1))
	update(t, second, lost, allocated(1))
	update(t, first, both, ofNode(elected(both, 1), first))
	update(t, second, both, ofNode(elected(both, 1), second))
	for _, order := range [][2]*Store{{first, second}, {second, first}} {
		eachEngine(t, func(t *testing.T, reopen func() *Store) {
			s := reopen()
			hand(t, order[0], s)
			hand(t, order[1], s)
			for range 2 {
				if r, ok := s.Retirement(arbiter.opts.Node); !ok || r.Successor != first.opts.Node || len(s.Retirements()) != 2 {
					t.Errorf("successor %v of %d, want the first", r.Successor, len(s.Retirements()))
				}
				if e, err := s.Application(t.Context(), lost); err != nil || e.Fold.Status() != model.StatusAllocated {
					t.Errorf("what the other one granted is %s, %v, want it ALLOCATED", e.Fold.Status(), err)
				}
				if e, err := s.Application(t.Context(), both); err != nil || e.Fold.Grant == nil || e.Fold.Grant.Decision.Winner != first.opts.Node || len(e.Void) != 1 {
					t.Errorf("of two grants %+v counts, %v, want the older", e.Fold.Grant, err)
				}
				s = reopen()
			}
		})
	}
}
