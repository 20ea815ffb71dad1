package app

import (
	"context"
	"fmt"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/recall"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// vectorPath is where a member tells what it knows: 200, and its vector.
const vectorPath = "/cluster/v1/vector"

// addRecall has this node hear from all others what its database may lack.
func (a *App) addRecall(m *member) (*recall.Recall, error) {
	r, err := recall.New(recall.Options{
		Store: m.store, Others: m.others, Ask: m.askVector, Logger: m.log.With("component", "recall"), Name: m.called, Heard: m.votes.Changed,
	})
	if err != nil {
		return nil, fmt.Errorf("make recall: %w", err)
	}
	a.addPart("recall", r.Run)
	return r, nil
}

// newSurvey makes what has this node, as a successor, hear from all others what a retired node may have decided.
func (m *member) newSurvey() (*recall.Survey, error) {
	return recall.NewSurvey(recall.SurveyOptions{
		Vector: m.store.Vector, Cluster: m.Cluster, Others: m.others, Ask: m.askVector, Name: m.called,
		Heard: func() { m.votes.Changed() }, Logger: m.log.With("component", "recall"),
	})
}

// called is how a node is called in the log.
func (m *member) called(node model.UID) string {
	if name, _ := m.nameOf(node); name != "" {
		return name
	}
	return node.String()
}

// others are the other nodes that were not retired. known is false where the node was told to join somebody and its
// database knows nobody: it may be older than that meeting.
func (m *member) others() (nodes []model.UID, known bool) {
	known = len(m.config.ClusterJoin) == 0
	for _, k := range m.known() {
		if known = true; !k.Retired {
			nodes = append(nodes, k.Node)
		}
	}
	return nodes, known
}

// vector answers up to where this node knows everything of each origin.
func (m *member) vector(w http.ResponseWriter, _ *http.Request) {
	data, err := m.store.Vector().MarshalBinary()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(data) // who is gone asks again
}

// askVector asks a member what it knows.
func (m *member) askVector(ctx context.Context, node model.UID) (replica.Vector, error) {
	data, err := m.ask(ctx, node, vectorPath, "", nil)
	if err != nil {
		return nil, err
	}
	var v replica.Vector
	if err := v.UnmarshalBinary(data); err != nil {
		return nil, fmt.Errorf("read vector of node %s: %w", node, err)
	}
	return v, nil
}

// lapsed says that this node may have forgotten something: it is ready only when it has caught up with all that can be
// reached.
func (m *member) lapsed() bool {
	_, lapsed := m.store.Lapsed()
	return lapsed
}
