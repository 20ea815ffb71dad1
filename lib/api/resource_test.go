package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestReservedKeysAreEchoed: whoever wrote a key of the node's reads it again in
// the Application and the Label, as v1 has it; no Resource shows it, and the
// allocation still has what the label says to the node.
func TestReservedKeysAreEchoed(t *testing.T) {
	n := newNode(t)
	const written = `{"AQUARIUM_FISH_SSH_RECORD":true,"AQUARIUM_FISH_SOCKS_PROXY":"mine","B":1.50}`
	label := n.do(t, call{user: "admin", method: http.MethodPost, path: "/api/v1/label/", body: `{"name":"x","version":1,"metadata":` + written + `,` +
		`"definitions":[{"driver":"test","resources":{"cpu":1,"ram":1}}]}`})
	if label.status != http.StatusOK || !strings.Contains(label.body, `"metadata":`+written) {
		t.Fatalf("label: %d %s", label.status, label.body)
	}
	app := n.do(t, call{user: "alice", method: http.MethodPost, path: "/api/v1/application/", body: `{"label_UID":"` + n.store.Labels()[0].UID.String() + `","metadata":` + written + `}`})
	if app.status != http.StatusOK || !strings.Contains(app.body, `"metadata":`+written) {
		t.Fatalf("application: %d %s", app.status, app.body)
	}
	e := n.allocate(t, n.store.Open()[0])
	r := *e.Resource
	r.Metadata = json.RawMessage(written)
	a := e.Allocations[0]
	a.LabelMetadata = json.RawMessage(written)
	e = n.update(t, e, model.Change{Resource: &r, Allocations: []model.Allocation{a}})
	for _, c := range []call{
		{user: "admin", path: "/api/v1/resource/"}, {user: "admin", path: "/api/v1/resource/" + r.UID.String()},
		{user: "alice", path: "/api/v1/application/" + e.Application.UID.String() + "/resource"},
	} {
		if got := n.do(t, c); got.status != http.StatusOK || !strings.Contains(got.body, `"metadata":{"B":1.50}`) {
			t.Errorf("%s = %d %s, want metadata without the node's keys", c.path, got.status, got.body)
		}
	}
	if !metadata.SSHRecord(e.Allocations[0].LabelMetadata) {
		t.Errorf("the allocation has lost what its label says: %s", e.Allocations[0].LabelMetadata)
	}
}

// TestNoResourceShowsReservedKeys: whatever an application and a label say.
func TestNoResourceShowsReservedKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{metadata.NodePrefix, "aquarium_fish_", "9AQUARIUM.FISH.", "A-QUARIUM_FISH_", "AQUARIUM_FISH", ""}).Draw(t, "prefix") +
				rapid.SampledFrom([]string{"SSH_RECORD", "SOCKS_PROXY", "x", ""}).Draw(t, "name") + rapid.String().Draw(t, "more")
		})
		object := rapid.MapOfN(key, rapid.String(), 0, 5)
		app, _ := json.Marshal(object.Draw(t, "application")) // texts always marshal
		label, _ := json.Marshal(object.Draw(t, "label"))
		merged, err := model.MergeMetadata(app, label)
		if err != nil {
			t.Fatal(err)
		}
		var all, shown map[string]json.RawMessage
		if err := json.Unmarshal(merged, &all); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(toResource(model.Resource{Metadata: merged}).Metadata, &shown); err != nil {
			t.Fatal(err)
		}
		for key, value := range all {
			got, there := shown[key]
			if metadata.Reserved(key) == there || there && string(got) != string(value) {
				t.Fatalf("%q: %s is shown as %s", key, value, got)
			}
		}
		if len(shown) > len(all) {
			t.Fatalf("shown are %v of %v", shown, all)
		}
	})
}
