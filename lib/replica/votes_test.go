package replica

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// cast is a vote as a node casts it.
func cast(app model.UID, node byte, boot uint64, round uint16) model.Vote {
	v := model.Vote{ApplicationUID: app, NodeUID: model.UID{node, 2, 3}, Boot: boot, Round: round, CreatedAt: time.Unix(1_800_000_000, 5).UTC()}
	v.UID = model.VoteUID(app, v.NodeUID, boot, round)
	v.Rand = model.VoteRand(v.UID)
	return v
}

// TestPackedVotes: all that a vote holds comes back.
func TestPackedVotes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := model.ApplicationState{UID: uid(1), ApplicationUID: uid(2), Status: model.StatusElected, Epoch: 1, NodeUID: uid(3), CreatedAt: time.Unix(1_800_000_001, 0).UTC()}
		s.Decision = &model.Decision{Winner: uid(4)}
		for range rapid.IntRange(1, 5).Draw(t, "votes") {
			v := cast(s.ApplicationUID, rapid.Byte().Draw(t, "node"), rapid.Uint64().Draw(t, "boot"), rapid.Uint16().Draw(t, "round"))
			v.Available, v.Cached, v.Load = rapid.IntRange(-3, 200).Draw(t, "available"), rapid.Bool().Draw(t, "cached"), rapid.Byte().Draw(t, "load")
			v.Coming = !v.Cached && rapid.Bool().Draw(t, "coming")
			v.Location = rapid.SampledFrom([]string{"", "office", "jörg"}).Draw(t, "location")
			v.CreatedAt = v.CreatedAt.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "cast")))
			if rapid.IntRange(0, 9).Draw(t, "odd") == 0 { // of an older program
				v.Rand++
			}
			s.Decision.Yes = append(s.Decision.Yes, v)
		}
		body, err := EncodeApplicationState(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeApplicationState(body)
		if diff := cmp.Diff(s, got); err != nil || diff != "" {
			t.Fatalf("%v (-want +got)\n%s", err, diff)
		}
	})
}

// TestSizeOfVotes states what a grant of a large farm costs.
func TestSizeOfVotes(t *testing.T) {
	s := model.ApplicationState{UID: uid(1), ApplicationUID: uid(2), Status: model.StatusElected, Epoch: 1, NodeUID: uid(3), CreatedAt: time.Unix(1_800_000_001, 0)}
	s.Decision = &model.Decision{Winner: uid(4)}
	for i := range 500 {
		v := cast(s.ApplicationUID, byte(i), 1<<63+uint64(i), 1)
		v.Location, v.Load = "Cupertino", 50
		s.Decision.Yes = append(s.Decision.Yes, v)
	}
	body, err := EncodeApplicationState(s)
	if err != nil || len(body) > 24_000 {
		t.Errorf("500 votes are %d bytes, %v, want 24,000 at most", len(body), err)
	}
}

// TestImagesOnTheirWay: what programs read that know nothing of them, which is
// how these told it, and what today's make of it.
func TestImagesOnTheirWay(t *testing.T) {
	vote := func(available int, cached, coming bool) model.Vote {
		v := cast(uid(2), byte(available)<<4, 1, 0)
		v.Available, v.Cached, v.Coming = available, cached, coming
		return v
	}
	for name, tt := range map[string]struct {
		votes  []model.Vote
		then   []bool // at hand, as earlier programs read it
		coming string // what they read past
	}{
		"none":                         {[]model.Vote{vote(0, true, false), vote(0, false, false)}, []bool{true, false}, ""},
		"one":                          {[]model.Vote{vote(0, false, true), vote(0, false, false)}, []bool{true, false}, `,"coming":[0]`},
		"beside one at hand":           {[]model.Vote{vote(0, true, false), vote(0, false, true)}, []bool{true, false}, `,"coming":[1]`},
		"of another definition":        {[]model.Vote{vote(0, false, true), vote(0, false, true), vote(1, true, false)}, []bool{true, true, true}, `,"coming":[0,1]`},
		"at hand and on its way alike": {[]model.Vote{vote(0, true, true)}, []bool{true}, ""},
	} {
		s := model.ApplicationState{UID: uid(1), ApplicationUID: uid(2), Status: model.StatusElected, CreatedAt: time.Unix(1_800_000_001, 0).UTC()}
		s.Decision = &model.Decision{Winner: uid(4), Yes: tt.votes}
		body, err := EncodeApplicationState(s)
		if err != nil || !strings.Contains(string(body), tt.coming) || tt.coming == "" && strings.Contains(string(body), "coming") {
			t.Fatalf("%s: written as %s, %v", name, body, err)
		}
		then, err := DecodeApplicationState([]byte(strings.Replace(string(body), tt.coming, "", 1)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, v := range then.Decision.Yes {
			if v.Cached != tt.then[i] || v.Coming {
				t.Errorf("%s: earlier programs read vote %d as %+v", name, i, v)
			}
		}
	}
}

func TestBrokenVotes(t *testing.T) {
	pack := func(b ...byte) string { return base64.RawStdEncoding.EncodeToString(b) }
	vote := append([]byte{1, 1, 0}, make([]byte, 24)...)
	for name, text := range map[string]string{
		"no base64": "!", "another shape": pack(9, 0), "no places": pack(1), "more places than bytes": pack(1, 200, 1), "half a place": pack(1, 1, 5, 'x'),
		"half a vote": pack(append(vote, 1, 0)...), "cached twice": pack(append(vote, 1, 0, 2, 0, 0, 0)...), "unknown place": pack(append(vote, 1, 0, 1, 0, 1, 0)...),
		"endless number": pack(append(vote, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255)...),
	} {
		body := fmt.Sprintf(`{"uid":%q,"app":%q,"st":"ELECTED","decision":{"votes":%q}}`, uid(1), uid(2), text)
		if s, err := DecodeApplicationState([]byte(body)); err == nil {
			t.Errorf("%s: read as %+v", name, s.Decision)
		}
	}
	for _, places := range []string{"[1]", "[-1]", "[0,0]", "[0,1]", `["0"]`} {
		body := fmt.Sprintf(`{"uid":%q,"app":%q,"st":"ELECTED","decision":{"votes":%q,"coming":%s}}`, uid(1), uid(2), pack(append(vote, 1, 0, 1, 0, 0, 0)...), places)
		if s, err := DecodeApplicationState([]byte(body)); err == nil {
			t.Errorf("coming %s: read as %+v", places, s.Decision)
		}
	}
	good := fmt.Sprintf(`{"uid":%q,"app":%q,"st":"ELECTED","decision":{"votes":%q}}`, uid(1), uid(2), pack(append(vote, 1, 0, 1, 0, 0, 0)...))
	if s, err := DecodeApplicationState([]byte(good)); err != nil || len(s.Decision.Yes) != 1 {
		t.Errorf("a good one is %+v, %v", s, err)
	}
}
