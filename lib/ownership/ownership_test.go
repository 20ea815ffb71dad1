package ownership

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func uid(n byte) model.UID { return model.UID{n} }

const pool = "aws/mac"

func record(hlc model.HLC, from, to, by byte) model.Ownership {
	var zero model.UID
	r := model.Ownership{UID: model.UID{byte(hlc)}, Thing: pool, From: zero, To: uid(to), By: uid(by), HLC: hlc}
	if from != 0 {
		r.From = uid(from)
	}
	return r
}

func gone(hlc model.HLC, node byte) model.Retirement {
	return model.Retirement{NodeUID: uid(node), Successor: uid(9), HLC: hlc}
}

func TestOwner(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records []model.Ownership
		retired []model.Retirement
		want    byte
	}{
		{"nobody yet", nil, nil, 0},
		{"the first who took it", []model.Ownership{record(2, 0, 2, 2), record(1, 0, 1, 1)}, nil, 1},
		{"given away by its owner", []model.Ownership{record(1, 0, 1, 1), record(2, 1, 3, 1)}, nil, 3},
		{"not taken from a living owner", []model.Ownership{record(1, 0, 1, 1), record(2, 1, 3, 3)}, nil, 1},
		{"not given away by a third", []model.Ownership{record(1, 0, 1, 1), record(2, 1, 3, 2)}, nil, 1},
		{"not given by who owned it once", []model.Ownership{record(1, 0, 1, 1), record(2, 1, 3, 1), record(3, 1, 4, 1)}, nil, 3},
		{"not made somebody else's", []model.Ownership{record(1, 0, 2, 1)}, nil, 0},
		{"a retired owner's, until somebody takes it", []model.Ownership{record(1, 0, 1, 1)}, []model.Retirement{gone(2, 1)}, 1},
		{"taken from a retired owner", []model.Ownership{record(1, 0, 1, 1), record(3, 1, 2, 2)}, []model.Retirement{gone(2, 1)}, 2},
		{"the first who took it from a retired owner", []model.Ownership{record(4, 1, 3, 3), record(1, 0, 1, 1), record(3, 1, 2, 2)}, []model.Retirement{gone(2, 1)}, 2},
		{"given away before it was retired", []model.Ownership{record(1, 0, 1, 1), record(2, 1, 3, 1), record(4, 1, 2, 2)}, []model.Retirement{gone(3, 1)}, 3},
		{"not given away after it was retired", []model.Ownership{record(1, 0, 1, 1), record(5, 1, 3, 1)}, []model.Retirement{gone(3, 1)}, 1},
		{"of another thing", []model.Ownership{{Thing: "x", To: uid(1), By: uid(1)}}, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := model.NilUID
			if tt.want != 0 {
				want = uid(tt.want)
			}
			if got := Owner(pool, tt.records, tt.retired); got != want {
				t.Errorf("Owner() = %v, want %v", got, want)
			}
		})
	}
}

func member(n byte, name string, shares ...string) Member {
	m := Member{Node: uid(n), Name: name, Heard: true, Synced: true}
	for _, s := range shares {
		m.Shares = append(m.Shares, ParseShare(s))
	}
	return m
}

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		name    string
		self    byte
		members []Member
		records []model.Ownership
		retired []model.Retirement
		owner   byte
		write   *model.Ownership
		waits   string
	}{
		{"the lowest takes it", 1, []Member{member(2, "b", pool), member(1, "a", pool)}, nil, nil, 0, &model.Ownership{Thing: pool, To: uid(1), By: uid(1)}, ""},
		{"another does not", 2, []Member{member(2, "b", pool), member(1, "a", pool)}, nil, nil, 0, nil, ""},
		{"the lowest of those that are configured for it", 2, []Member{member(1, "a"), member(2, "b", pool)}, nil, nil, 0, &model.Ownership{Thing: pool, To: uid(2), By: uid(2)}, ""},
		{"the one that is named", 2, []Member{member(1, "a", pool), member(2, "b", pool+"=b")}, nil, nil, 0, &model.Ownership{Thing: pool, To: uid(2), By: uid(2)}, ""},
		{"two are named", 1, []Member{member(1, "a", pool+"=a"), member(2, "b", pool+"=b")}, nil, nil, 0, nil, "two owners, a and b"},
		{"a stranger is named", 1, []Member{member(1, "a", pool+"=x")}, nil, nil, 0, nil, "owner x is no member"},
		{"one is behind", 1, []Member{member(1, "a", pool), {Node: uid(2), Name: "b", Heard: true, Shares: []Share{{Thing: pool}}}}, nil, nil, 0, nil, "b is configured for it and has not caught up"},
		{"one was not heard", 1, []Member{member(1, "a", pool), {Node: uid(2), Name: "b"}}, nil, nil, 0, nil, "not known yet whether b"},
		{"it has an owner, who is away", 1, []Member{member(1, "a", pool), {Node: uid(2), Name: "b"}}, []model.Ownership{record(1, 0, 2, 2)}, nil, 2, nil, ""},
		{"the owner gives it to who is named now", 1, []Member{member(1, "a", pool+"=b"), member(2, "b", pool+"=b")}, []model.Ownership{record(1, 0, 1, 1)}, nil, 1,
			&model.Ownership{Thing: pool, From: uid(1), To: uid(2), By: uid(1)}, ""},
		{"who is named does not take it", 2, []Member{member(1, "a", pool+"=b"), member(2, "b", pool+"=b")}, []model.Ownership{record(1, 0, 1, 1)}, nil, 1, nil, ""},
		{"the owner was retired", 2, []Member{member(2, "b", pool), member(3, "c", pool)}, []model.Ownership{record(1, 0, 1, 1)}, []model.Retirement{gone(2, 1)}, 0,
			&model.Ownership{Thing: pool, From: uid(1), To: uid(2), By: uid(2)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Decide(pool, View{Self: uid(tt.self), Members: tt.members, Records: tt.records, Retirements: tt.retired})
			owner := model.NilUID
			if tt.owner != 0 {
				owner = uid(tt.owner)
			}
			if got.Owner != owner || !strings.Contains(got.Waits, tt.waits) || (got.Waits == "") != (tt.waits == "") {
				t.Errorf("Decide() = %+v, want owner %v, %q", got, owner, tt.waits)
			}
			if diff := cmp.Diff(tt.write, got.Write); diff != "" {
				t.Errorf("to write (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLeave: who owns a thing and is not configured for it gives it away, when it
// is known to whom, and nobody else does.
func TestLeave(t *testing.T) {
	owned := []model.Ownership{record(1, 0, 1, 1)}
	given := func(to byte) *model.Ownership {
		return &model.Ownership{Thing: pool, From: uid(1), To: uid(to), By: uid(1)}
	}
	for _, tt := range []struct {
		name    string
		self    byte
		members []Member
		records []model.Ownership
		want    *model.Ownership
	}{
		{"to the lowest", 1, []Member{member(1, "a"), member(3, "c", pool), member(2, "b", pool)}, owned, given(2)},
		{"to the one that is named", 1, []Member{member(1, "a"), member(3, "c", pool+"=c"), member(2, "b", pool)}, owned, given(3)},
		{"to nobody, as nobody is configured for it", 1, []Member{member(1, "a"), member(2, "b")}, owned, nil},
		{"not while one was not heard", 1, []Member{member(1, "a"), member(2, "b", pool), {Node: uid(3), Name: "c"}}, owned, nil},
		{"not to one that is behind", 1, []Member{member(1, "a"), {Node: uid(2), Name: "b", Heard: true, Shares: []Share{{Thing: pool}}}}, owned, nil},
		{"not to itself", 1, []Member{member(1, "a", pool), member(2, "b", pool)}, owned, nil},
		{"not what is another's", 2, []Member{member(1, "a"), member(2, "b"), member(3, "c", pool)}, owned, nil},
		{"not what is nobody's", 1, []Member{member(1, "a"), member(2, "b", pool)}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Leave(pool, View{Self: uid(tt.self), Members: tt.members, Records: tt.records})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("to write (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOneOwner: whoever writes what in whatever order, those who have the same
// rows name the same owner, and it changes only by the owner's own word or
// after its retirement.
func TestOneOwner(t *testing.T) {
	node := rapid.ByteRange(1, 4)
	rapid.Check(t, func(t *rapid.T) {
		var records []model.Ownership
		var retired []model.Retirement
		for hlc := range model.HLC(rapid.IntRange(0, 12).Draw(t, "records")) {
			if rapid.IntRange(0, 5).Draw(t, "retire") == 0 {
				n := node.Draw(t, "gone")
				if _, known := model.Retired(uid(n), retired); !known {
					retired = append(retired, gone(hlc+1, n))
				}
			}
			next := record(hlc+1, rapid.ByteRange(0, 4).Draw(t, "from"), node.Draw(t, "to"), node.Draw(t, "by"))
			before := Owner(pool, records, retired)
			records = append(records, next)
			after := Owner(pool, records, retired)
			_, was := model.Retired(before, retired)
			if after != before && next.By != before && before != model.NilUID && !was {
				t.Fatalf("%v lost it to %v by %+v", before, after, next)
			}
		}
		want := Owner(pool, records, retired)
		if got := Owner(pool, rapid.Permutation(records).Draw(t, "order"), retired); got != want {
			t.Fatalf("the order decides: %v, %v", want, got)
		}
	})
}

// TestFarmAgrees: members decide in any order until nobody has anything to
// write; then all name one owner, who is the configured one if there is one.
func TestFarmAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := View{}
		named := rapid.SampledFrom([]string{"", "=1", "=3"}).Draw(t, "named")
		for n := byte(1); n <= 4; n++ {
			v.Members = append(v.Members, member(n, string(rune('0'+n)), pool+named))
		}
		hlc := model.HLC(1)
		if rapid.Bool().Draw(t, "owned") {
			hlc, v.Records = 2, []model.Ownership{record(1, 0, 2, 2)}
		}
		for range 4 {
			v.Self = uid(rapid.ByteRange(1, 4).Draw(t, "self"))
			if d := Decide(pool, v); d.Write != nil {
				d.Write.HLC, d.Write.UID = hlc, model.UID{byte(hlc)}
				v.Records, hlc = append(v.Records, *d.Write), hlc+1
			}
		}
		for round := 0; ; round++ {
			wrote := false
			for _, m := range v.Members {
				v.Self = m.Node
				if d := Decide(pool, v); d.Write != nil {
					d.Write.HLC, d.Write.UID = hlc, model.UID{byte(hlc)}
					v.Records, hlc, wrote = append(v.Records, *d.Write), hlc+1, true
				}
			}
			if !wrote {
				break
			}
			if round > 3 {
				t.Fatalf("it goes on for ever: %+v", v.Records)
			}
		}
		if owner := Owner(pool, v.Records, nil); owner == model.NilUID || named == "=1" && owner != uid(1) || named == "=3" && owner != uid(3) {
			t.Fatalf("owner %v, named %q, by %+v", owner, named, v.Records)
		}
	})
}

func TestList(t *testing.T) {
	v := View{Self: uid(1), Members: []Member{member(1, "a", "x", pool)}, Records: []model.Ownership{record(1, 0, 1, 1), {Thing: "old", To: uid(2), By: uid(2)}}}
	want := []status.Ownership{{Thing: pool, Node: uid(1)}, {Thing: "old", Node: uid(2)}, {Thing: "x"}}
	if diff := cmp.Diff(want, List(v)); diff != "" {
		t.Errorf("List() (-want +got):\n%s", diff)
	}
	if got := ParseShare((Share{pool, "a"}).String()); got != (Share{pool, "a"}) {
		t.Errorf("a share comes back as %+v", got)
	}
}
