package cloud

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMark(t *testing.T) {
	m := Maker{"node-1", "aws/mac"}
	at := time.Date(2026, 3, 1, 10, 0, 0, 999, time.FixedZone("", 3600))
	const noon = "2026-03-01T09:00:00Z"
	for _, tt := range []struct {
		name   string
		mark   Mark
		others []Tags
		want   Tags
	}{
		{"a machine", Mark{Purpose: PurposeWork, Token: "t", Application: "a", Pool: "mac", Created: at}, nil,
			Tags{TagPurpose: PurposeWork, TagToken: "t", TagApplication: "a", TagPool: "mac", TagCreated: noon}},
		{"a step", Mark{Purpose: PurposeStep, Task: "x", Lease: at}, nil, Tags{TagPurpose: PurposeStep, TagTask: "x", TagLease: noon}},
		{"the later over the earlier", Mark{Purpose: PurposePool}, []Tags{{"Team": "a", "Cost": ""}, nil, {"Team": "b"}},
			Tags{TagPurpose: PurposePool, "Team": "b", "Cost": ""}},
		{"ours are ours", Mark{Purpose: PurposeWork}, []Tags{{TagNode: "evil", TagLease: noon, TagToken: "t", TagTask: "x", TagPool: "win"}},
			Tags{TagPurpose: PurposeWork}},
	} {
		want := maps.Clone(tt.want)
		maps.Copy(want, Tags{TagNode: "node-1", TagInstance: "aws/mac"})
		got := m.Tags(tt.mark, tt.others...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if !m.Made(got) || (Maker{"node-1", "aws"}).Made(got) || (Maker{"node-2", "aws/mac"}).Made(got) {
			t.Errorf("%s: it is not its maker's, or somebody else's too", tt.name)
		}
		for _, f := range m.Query().Filters {
			if key := f.Name[len("tag:"):]; len(f.Values) != 1 || !Match(f.Values[0], got[key]) {
				t.Errorf("%s: the query %v does not find it", tt.name, m.Query())
			}
		}
	}
	given := Tags{"Team": "ci"}
	m.Tags(Mark{Purpose: PurposeWork}, given)
	if len(given) != 1 {
		t.Errorf("what was given became %v", given)
	}
	if tags := m.Tags(Mark{Created: at, Lease: at.Add(time.Hour)}); !tags.Created().Equal(at.Truncate(time.Second)) || !tags.Lease().Equal(at.Truncate(time.Second).Add(time.Hour)) {
		t.Errorf("times of %v are %v and %v", tags, tags.Created(), tags.Lease())
	}
	for _, text := range []string{"", "soon"} {
		if at := (Tags{TagLease: text}).Lease(); !at.IsZero() {
			t.Errorf("the lease %q is until %v", text, at)
		}
	}
}
