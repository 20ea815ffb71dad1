package retire

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func uid(n byte) model.UID { return model.UID{n} }

func member(n byte, name string, state status.State) status.Member {
	return status.Member{UID: uid(n), Name: name, State: state}
}

// farm is a (who is asked), b and c, of which b is off.
func farm() View {
	return View{Self: uid(1), Members: []status.Member{
		member(1, "a", status.StateActive), member(2, "b", status.StateUnreachable), member(3, "c", status.StateActive),
	}}
}

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ask    Ask
		change func(*View)
		want   model.Retirement
	}{
		{"the least loaded succeeds", Ask{Node: "b", By: "admin"}, func(v *View) { v.Members[0].Applications = 1 },
			model.Retirement{NodeUID: uid(2), Successor: uid(3), By: "admin"}},
		{"also the one that is asked", Ask{Node: "b"}, func(v *View) { v.Members[2].Applications = 1 }, model.Retirement{NodeUID: uid(2), Successor: uid(1)}},
		{"by UID", Ask{Node: uid(2).String(), Successor: uid(3).String()}, nil, model.Retirement{NodeUID: uid(2), Successor: uid(3)}},
		{"several are off", Ask{Node: "b", Successor: "c", Off: []string{"d"}}, func(v *View) {
			v.Members = append(v.Members, member(4, "d", status.StateUnreachable))
		}, model.Retirement{NodeUID: uid(2), Successor: uid(3)}},
		{"not one in maintenance", Ask{Node: "b"}, func(v *View) { v.Members[0].Applications, v.Members[2].State = 9, status.StateInactive },
			model.Retirement{NodeUID: uid(2), Successor: uid(1)}},
		{"one in maintenance that is named", Ask{Node: "b", Successor: "c"}, func(v *View) { v.Members[2].State = status.StateInactive },
			model.Retirement{NodeUID: uid(2), Successor: uid(3)}},
		{"one that stopped in order", Ask{Node: "b", Successor: "c"}, func(v *View) { v.Members[1].State = status.StateStopped },
			model.Retirement{NodeUID: uid(2), Successor: uid(3)}},
		{"beside one that was retired", Ask{Node: "b", Successor: "c"}, func(v *View) {
			v.Members = append(v.Members, member(4, "d", status.StateRetired))
		}, model.Retirement{NodeUID: uid(2), Successor: uid(3)}},
		{"force that is not needed", Ask{Node: "b", Successor: "c", Force: true}, nil, model.Retirement{NodeUID: uid(2), Successor: uid(3)}},
		{"one that runs, by force", Ask{Node: "b", Successor: "c", Force: true}, func(v *View) { v.Members[1].State = status.StateActive },
			model.Retirement{NodeUID: uid(2), Successor: uid(3), Forced: true}},
		{"while another is away, by force", Ask{Node: "b", Successor: "c", Force: true}, func(v *View) {
			v.Members = append(v.Members, member(4, "d", status.StateUnreachable))
		}, model.Retirement{NodeUID: uid(2), Successor: uid(3), Forced: true}},
		{"the new node of a retired one's name", Ask{Node: "b", Successor: "c"}, func(v *View) {
			v.Retirements = []model.Retirement{{NodeUID: uid(5), Successor: uid(1)}}
			v.Members = append([]status.Member{member(5, "b", status.StateRetired)}, v.Members...)
		}, model.Retirement{NodeUID: uid(2), Successor: uid(3)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := farm()
			if tt.change != nil {
				tt.change(&v)
			}
			got, err := Decide(tt.ask, v)
			if err != nil {
				t.Fatalf("Decide() error: %v", err)
			}
			if diff := cmp.Diff(tt.want, got.Retirement); diff != "" || got.Already {
				t.Errorf("Decide() already %v (-want +got):\n%s", got.Already, diff)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ask     Ask
		change  func(*View)
		want    string
		unknown bool
	}{
		{"unknown", Ask{Node: "x", Force: true}, nil, `no member "x" in the cluster, there are: a, b, c`, true},
		{"no name", Ask{Force: true}, nil, `no member "" in the cluster, there are: a, b, c`, true},
		{"itself", Ask{Node: "a", Force: true}, nil, "ask another member", false},
		{"it runs", Ask{Node: "c"}, func(v *View) { v.Members[1].State = status.StateActive }, "c can be reached, so it runs", false},
		{"it is in maintenance", Ask{Node: "c"}, func(v *View) { v.Members[2].State = status.StateInactive }, "c can be reached, so it runs", false},
		{"others can not be asked", Ask{Node: "b"}, func(v *View) {
			v.Members = append(v.Members, member(4, "e", status.StateStopped), member(5, "d", status.StateUnreachable))
		}, "d, e can not be reached", false},
		{"others that run are not off", Ask{Node: "b", Off: []string{"c"}}, nil, "c can be reached, so it runs", false},
		{"nor is the one that is asked", Ask{Node: "b", Off: []string{"a"}}, nil, "a can be reached, so it runs", false},
		{"unknown ones are not off", Ask{Node: "b", Off: []string{"x"}}, nil, `no member "x"`, true},
		{"unknown successor", Ask{Node: "b", Successor: "x", Force: true}, nil, `no member "x"`, true},
		{"its own successor", Ask{Node: "b", Successor: "b", Force: true}, nil, "its own successor", false},
		{"a successor that is away", Ask{Node: "b", Successor: "c", Force: true}, func(v *View) { v.Members[2].State = status.StateUnreachable }, "c can not be reached", false},
		{"a retired successor", Ask{Node: "b", Successor: "c", Force: true}, func(v *View) {
			v.Retirements = []model.Retirement{{NodeUID: uid(3), Successor: uid(1)}}
		}, "c was retired itself", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := farm()
			if tt.change != nil {
				tt.change(&v)
			}
			p, err := Decide(tt.ask, v)
			no := (*Refusal)(nil)
			if !errors.As(err, &no) || !strings.Contains(no.Message, tt.want) || no.Unknown != tt.unknown {
				t.Errorf("Decide() = %+v, %v, want %q", p, err, tt.want)
			}
		})
	}
}

// TestAgain: the same question has the same answer, whoever the members are by
// then; another successor is refused.
func TestAgain(t *testing.T) {
	v := farm()
	v.Retirements = []model.Retirement{{NodeUID: uid(2), Successor: uid(3), By: "eve"}}
	v.Members[1].State, v.Members[2].State = status.StateRetired, status.StateUnreachable
	for _, successor := range []string{"", "c"} {
		got, err := Decide(Ask{Node: "b", Successor: successor, By: "admin"}, v)
		if err != nil || !got.Already || got.Retirement != v.Retirements[0] || got.Successor.Name != "c" {
			t.Errorf("Decide(successor %q) = %+v, %v", successor, got, err)
		}
	}
	if got, err := Decide(Ask{Node: "b", Successor: "a"}, v); err == nil || !strings.Contains(err.Error(), "c is its successor") {
		t.Errorf("with another successor: %+v, %v", got, err)
	}
}

// TestWhatIsDecided holds of every cluster: the answer does not depend on the
// order of the members, nobody succeeds who is gone, and without force nothing
// is stored that may run something twice.
func TestWhatIsDecided(t *testing.T) {
	states := []status.State{status.StateActive, status.StateInactive, status.StateUnreachable, status.StateStopped, status.StateRetired}
	rapid.Check(t, func(t *rapid.T) {
		v := View{Self: uid(1), Members: []status.Member{member(1, "1", status.StateActive)}}
		for n := byte(2); n < byte(rapid.IntRange(3, 7).Draw(t, "members")); n++ {
			m := member(n, string(rune('0'+n)), rapid.SampledFrom(states).Draw(t, "state"))
			m.Applications = rapid.IntRange(0, 3).Draw(t, "runs")
			if m.State == status.StateRetired {
				v.Retirements = append(v.Retirements, model.Retirement{NodeUID: m.UID, Successor: v.Self})
			}
			v.Members = append(v.Members, m)
		}
		ask := Ask{Node: rapid.SampledFrom(v.Members).Draw(t, "node").Name, Force: rapid.Bool().Draw(t, "force")}
		p, err := Decide(ask, v)
		v.Members = rapid.Permutation(v.Members).Draw(t, "order")
		again, errAgain := Decide(ask, v)
		if diff := cmp.Diff(p, again); diff != "" || (err == nil) != (errAgain == nil) {
			t.Fatalf("the order decides: %v, %v\n%s", err, errAgain, diff)
		}
		if err != nil || p.Already {
			return
		}
		gone, _ := find(v.Members, p.Retirement.Successor)
		if p.Retirement.Successor == p.Retirement.NodeUID || !gone.Reachable() {
			t.Fatalf("successor %+v", gone)
		}
		if !ask.Force && (p.Retirement.Forced || p.Node.Reachable()) || p.Retirement.Forced != (p.Node.Reachable() || len(p.Unasked) > 0) {
			t.Fatalf("%+v of %+v", p, v.Members)
		}
	})
}
