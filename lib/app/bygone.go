package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/lib/bygone"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// addBygone lets run what removes applications that closed while this node was away; what it returns says for a successor
// that one did not.
func (a *App) addBygone(m *member) (cleared func(app model.UID, reachable bool) bool) {
	keeper := bygone.New(bygone.Options{
		Node: m.node.UID, Store: m.store, Ready: m.Ready, Unreachable: m.Unreachable, Ask: m.askFates,
		Name: m.called, Logger: m.log.With("component", "bygone"),
	})
	a.addPart("bygone", keeper.Run)
	return keeper.Cleared
}

// wireTrace is a store.Trace between members. Its keys never change their meaning.
type wireTrace struct {
	Application model.UID `json:"application"`
	Node        model.UID `json:"node"`
	Incarnation uint32    `json:"incarnation"`
	Seq         uint64    `json:"seq"`
	HLC         int64     `json:"hlc"`
}

// fates answers what this node knows of applications that another holds for open.
func (m *member) fates(w http.ResponseWriter, r *http.Request) {
	data, ok := body(w, r)
	if !ok {
		return
	}
	var asked []wireTrace
	if err := json.Unmarshal(data, &asked); err != nil {
		http.Error(w, "the request is no list of applications", http.StatusBadRequest)
		return
	}
	traces := make([]store.Trace, len(asked))
	for i, t := range asked {
		traces[i] = store.Trace{Application: t.Application, Version: replica.Version{
			HLC: model.HLC(t.HLC), Origin: replica.Origin{Node: t.Node, Incarnation: t.Incarnation}, Seq: t.Seq,
		}}
	}
	fates, err := m.store.Fates(r.Context(), traces)
	if err != nil {
		m.log.Error("what became of applications can not be told to a member", "error", err)
		http.Error(w, "the node failed, and its log has the reason", http.StatusInternalServerError)
		return
	}
	numbers := make([]int, len(fates)) // bytes would be encoded as text
	for i, f := range fates {
		numbers[i] = int(f)
	}
	_ = json.NewEncoder(w).Encode(numbers) // who is gone asks again
}

// askFates asks a member what it knows of applications.
func (m *member) askFates(ctx context.Context, node model.UID, traces []store.Trace) ([]store.Fate, error) {
	data, err := encodeTraces(traces)
	if err != nil {
		return nil, fmt.Errorf("ask node %s: %w", node, err)
	}
	if data, err = m.ask(ctx, node, fatesPath, "", data); err != nil {
		return nil, err
	}
	fates, err := decodeFates(data)
	if err != nil {
		return nil, fmt.Errorf("read answer of node %s: %w", node, err)
	}
	return fates, nil
}

func encodeTraces(traces []store.Trace) ([]byte, error) {
	asked := make([]wireTrace, len(traces))
	for i, t := range traces {
		v := t.Version
		asked[i] = wireTrace{t.Application, v.Origin.Node, v.Origin.Incarnation, v.Seq, int64(v.HLC)}
	}
	return json.Marshal(asked)
}

// decodeFates takes what a later version says for nothing known.
func decodeFates(data []byte) ([]store.Fate, error) {
	var numbers []int
	if err := json.Unmarshal(data, &numbers); err != nil {
		return nil, err
	}
	fates := make([]store.Fate, len(numbers))
	for i, n := range numbers {
		if n >= 0 && n <= int(store.FateRemoved) {
			fates[i] = store.Fate(n)
		}
	}
	return fates, nil
}
