package app

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// TestFatesAreTold: a member is told what became of applications, in the order
// in which it asked; what is no question is refused.
func TestFatesAreTold(t *testing.T) {
	m := storedOnly(t)
	label, err := m.store.CreateLabel(t.Context(), model.Label{Name: "l", Version: 1, Definitions: []model.LabelDefinition{{Driver: "test", Options: []byte("{}")}}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := m.store.CreateApplication(t.Context(), model.Application{LabelUID: label.UID, OwnerName: "u"})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(body []byte) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, fatesPath, bytes.NewReader(body))
		m.serveMembers(http.NotFoundHandler(), nil).ServeHTTP(answer, r)
		return answer
	}
	traces, err := m.store.Traces([]model.UID{e.Application.UID})
	if err != nil || len(traces) != 1 {
		t.Fatalf("Traces = %v, %v", traces, err)
	}
	gone := store.Trace{Application: model.UID{7}, Version: replica.Version{Origin: traces[0].Version.Origin, Seq: 1, HLC: 1}}
	strange := store.Trace{Application: model.UID{8}, Version: replica.Version{Origin: replica.Origin{Node: model.UID{9}}, Seq: 1, HLC: 1}}
	body, err := encodeTraces([]store.Trace{gone, traces[0], strange})
	if err != nil {
		t.Fatal(err)
	}
	answer := ask(body)
	fates, err := decodeFates(answer.Body.Bytes())
	if err != nil || answer.Code != http.StatusOK {
		t.Fatalf("answer %d: %v", answer.Code, err)
	}
	want := []store.Fate{store.FateRemoved, store.FateOpen, store.FateUnknown}
	for i := range want {
		if len(fates) != len(want) || fates[i] != want[i] {
			t.Fatalf("fates = %v, want %v", fates, want)
		}
	}
	if got := ask([]byte("nonsense")).Code; got != http.StatusBadRequest {
		t.Errorf("nonsense: %d, want 400", got)
	}
}

// TestFatesOfALaterVersion: what is not known counts as not known.
func TestFatesOfALaterVersion(t *testing.T) {
	data, err := json.Marshal([]int{int(store.FateRemoved) + 1, -1, int(store.FateRemoved)})
	if err != nil {
		t.Fatal(err)
	}
	fates, err := decodeFates(data)
	if err != nil || len(fates) != 3 || fates[0] != store.FateUnknown || fates[1] != store.FateUnknown || fates[2] != store.FateRemoved {
		t.Errorf("decodeFates = %v, %v", fates, err)
	}
	if _, err := decodeFates([]byte("{}")); err == nil {
		t.Error("an answer that is none is taken")
	}
}
