package farm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Even waits until none of the given nodes lacks a row of another one of them.
func (f *Farm) Even(within time.Duration, nodes ...int) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), within)
	defer cancel()
	f.settle(ctx, "no node lacks a row of another one", func() (string, error) { return f.lacking(ctx, nodes) })
}

// lacking says which node lacks rows of which other one: "" is none.
func (f *Farm) lacking(ctx context.Context, nodes []int) (string, error) {
	var names []string
	for _, node := range nodes {
		names = append(names, f.Members[node].Name)
	}
	var b strings.Builder
	for _, node := range nodes {
		got, err := f.Admin(node).Do(ctx, http.MethodGet, "/api/v1/cluster/", nil, "")
		if err != nil {
			return "", err
		}
		var status struct {
			Members []struct {
				Name string
				Lag  uint64
			}
		}
		if err := json.Unmarshal(got.Body, &status); got.Status != http.StatusOK || err != nil {
			return "", fmt.Errorf("GET cluster/ of node %d: %d %.200s", node, got.Status, got.Body)
		}
		for _, m := range status.Members {
			if m.Lag > 0 && slices.Contains(names, m.Name) {
				fmt.Fprintf(&b, "node %d lacks %d rows of %s\n", node, m.Lag, m.Name)
			}
		}
	}
	return b.String(), nil
}
