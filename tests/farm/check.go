package farm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// askers is how many requests of a check are under way at once.
const askers = 8

// view is what the API of one node shows of the farm: answers by their path.
type view map[string]string

// look asks a node for all that has to be the same on every node.
func look(ctx context.Context, c fish.Client) (view, error) {
	v := view{}
	for _, path := range []string{"user/", "location/", "label/", "servicemapping/", "resource/", "application/", "node/"} {
		if err := v.add(ctx, c, path); err != nil {
			return nil, err
		}
	}
	v["node/"] = names(v["node/"])
	var apps []object
	if err := json.Unmarshal([]byte(v["application/"]), &apps); err != nil {
		return nil, fmt.Errorf("list applications: %w", err)
	}
	return v, v.addAll(ctx, c, apps)
}

type object struct{ UID string }

// named is what a node says of another one that does not change by itself.
type named struct {
	UID, Name string
	Location  string `json:"location_name"`
}

// names leaves out what nodes say of themselves at the moment.
func names(text string) string {
	var nodes []named
	if err := json.Unmarshal([]byte(text), &nodes); err != nil {
		return text
	}
	slices.SortFunc(nodes, func(a, b named) int { return strings.Compare(a.UID, b.UID) })
	return fmt.Sprintf("%+v", nodes)
}

func (v view) add(ctx context.Context, c fish.Client, path string) error {
	got, err := c.Do(ctx, http.MethodGet, "/api/v1/"+path, nil, "")
	if err != nil {
		return err
	}
	if got.Status != http.StatusOK {
		return fmt.Errorf("GET %s: %d %.200s", path, got.Status, got.Body)
	}
	v[path] = string(got.Body)
	return nil
}

// addAll asks for the state and the tasks of all applications.
func (v view) addAll(ctx context.Context, c fish.Client, apps []object) error {
	var asking sync.WaitGroup
	parts, errs := make([]view, askers), make([]error, askers)
	for i := range askers {
		parts[i] = view{}
		asking.Go(func() {
			for at := i; at < len(apps) && errs[i] == nil; at += askers {
				path := "application/" + apps[at].UID
				errs[i] = errors.Join(parts[i].add(ctx, c, path+"/state"), parts[i].add(ctx, c, path+"/task/"))
			}
		})
	}
	asking.Wait()
	for _, part := range parts {
		for path, answer := range part {
			v[path] = answer
		}
	}
	return errors.Join(errs...)
}

// differs says in what two nodes differ: "" is in nothing.
func (v view) differs(w view) string {
	const enough = 3000
	diff := cmp.Diff(v, w)
	return diff[:min(len(diff), enough)]
}

// SameView says in what the API of the given nodes differs: "" is in nothing.
// Labels, users, locations, mappings, resources, applications, their states
// and tasks are compared byte by byte, in the order of their lists.
func (f *Farm) SameView(ctx context.Context, nodes []int) (string, error) {
	first, err := look(ctx, f.Admin(nodes[0]))
	if err != nil {
		return "", fmt.Errorf("node %d: %w", nodes[0], err)
	}
	for _, node := range nodes[1:] {
		other, err := look(ctx, f.Admin(node))
		if err != nil {
			return "", fmt.Errorf("node %d: %w", node, err)
		}
		if diff := first.differs(other); diff != "" {
			return fmt.Sprintf("node %d (-) and node %d (+):\n%s", nodes[0], node, diff), nil
		}
	}
	return "", nil
}

// strangers says which of the given nodes does not show which other one as a
// member: "" is none.
func (f *Farm) strangers(ctx context.Context, nodes []int) (string, error) {
	var b strings.Builder
	for _, node := range nodes {
		got, err := f.Admin(node).Do(ctx, http.MethodGet, "/api/v1/node/", nil, "")
		if err != nil {
			return "", err
		}
		var shown []named
		if err := json.Unmarshal(got.Body, &shown); got.Status != http.StatusOK || err != nil {
			return "", fmt.Errorf("GET node/ of node %d: %d %.200s", node, got.Status, got.Body)
		}
		for _, other := range nodes {
			if !slices.ContainsFunc(shown, func(n named) bool { return n.Name == f.Members[other].Name }) {
				fmt.Fprintf(&b, "node %d does not show %s\n", node, f.Members[other].Name)
			}
		}
	}
	return b.String(), nil
}

// unready lists the given nodes that are not ready for work.
func (f *Farm) unready(ctx context.Context, nodes []int) (string, error) {
	var b strings.Builder
	for _, node := range nodes {
		got, err := f.client(f.Members[node]).Do(ctx, http.MethodGet, "/readyz", nil, "")
		if err != nil {
			return "", err
		}
		if got.Status != http.StatusOK {
			fmt.Fprintf(&b, "node %d: %d %.200s\n", node, got.Status, got.Body)
		}
	}
	return b.String(), nil
}

// Together waits until the given nodes, or all, show each other as members and
// have one database, and so one admin: that of node 0.
func (f *Farm) Together(within time.Duration, nodes ...int) {
	f.t.Helper()
	if len(nodes) == 0 {
		nodes = f.All()
	}
	f.joined = true
	ctx, cancel := context.WithTimeout(f.t.Context(), within)
	defer cancel()
	// First without a name: who asks again and again before the admin is known there is locked out.
	f.settle(ctx, "all are ready", func() (string, error) { return f.unready(ctx, nodes) })
	f.settle(ctx, "all are members", func() (string, error) { return f.strangers(ctx, nodes) })
	f.settle(ctx, "all nodes show the same", func() (string, error) { return f.SameView(ctx, nodes) })
}

// All are the numbers of all nodes.
func (f *Farm) All() []int {
	var nodes []int
	for node := range f.Members {
		nodes = append(nodes, node)
	}
	return nodes
}

// open lists what is not over, as the given nodes tell.
func (f *Farm) open(ctx context.Context, nodes []int) (string, error) {
	var b strings.Builder
	for _, node := range nodes {
		got, err := f.Admin(node).Do(ctx, http.MethodGet, "/api/v1/application/active/", nil, "")
		if err != nil {
			return "", err
		}
		var apps []activeApplication
		if err := json.Unmarshal(got.Body, &apps); got.Status != http.StatusOK || err != nil {
			return "", fmt.Errorf("GET application/active/ of node %d: %d %.200s", node, got.Status, got.Body)
		}
		for _, app := range apps {
			if app.State.Status != "RECALLED" {
				fmt.Fprintf(&b, "node %d: %s is %s\n", node, app.Application.UID, app.State.Status)
			}
		}
	}
	return b.String(), nil
}

// Verify waits until the given nodes have come to rest and then holds them to
// what must be true after any trouble: every application has ended, all nodes
// show the same, no environment is left, and the drivers' evidence proves that
// nothing was executed twice. Nobody may ask for anything meanwhile.
func (f *Farm) Verify(within time.Duration, nodes ...int) {
	f.t.Helper()
	if len(nodes) == 0 {
		nodes = f.All()
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), within)
	defer cancel()
	f.settle(ctx, "every application has ended", func() (string, error) { return f.open(ctx, nodes) })
	f.settle(ctx, "all nodes show the same", func() (string, error) { return f.SameView(ctx, nodes) })
	f.settle(ctx, "no environment is left", func() (string, error) { return f.leftovers(nodes), nil })
	verdict := f.Ledger().Judge()
	if twice := verdict.Once(); twice != "" {
		f.t.Errorf("executed twice:\n%s", twice)
	}
	f.t.Logf("%d applications were executed", verdict.Applications)
}

// leftovers are the environments in the workspaces of the nodes, and those of
// which the evidence does not tell that they are gone.
func (f *Farm) leftovers(nodes []int) string {
	var b strings.Builder
	for _, node := range nodes {
		if left := f.Members[node].Environments(); len(left) > 0 {
			fmt.Fprintf(&b, "node %d: %v\n", node, left)
		}
	}
	if len(nodes) == len(f.Members) { // else those of the others may well run
		b.WriteString(f.Ledger().Judge().Left())
	}
	return b.String()
}

// settle waits until there is nothing left to tell.
func (f *Farm) settle(ctx context.Context, what string, trouble func() (string, error)) {
	f.t.Helper()
	const every = 500 * time.Millisecond // a look at everything costs the nodes something
	for {
		text, err := trouble()
		if text == "" && err == nil {
			return
		}
		if !pause(ctx, every) || ctx.Err() != nil {
			f.t.Fatalf("not in time: %s: %v\n%s", what, err, text)
		}
	}
}
