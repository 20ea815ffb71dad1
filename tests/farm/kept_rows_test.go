package farm

import (
	"encoding/json"
	"iter"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// openStore opens a database without a node.
func openStore(t *testing.T, folder string, node model.UID) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Folder: folder, Node: node, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("open %s: %v", folder, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// listed is a list as JSON, by what it is a list of.
func listed[T any](t *testing.T, into map[string][]any, name string, list iter.Seq2[T, error]) {
	t.Helper()
	for v, err := range list {
		if err != nil {
			t.Fatalf("list %s: %v", name, err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		into[name] = append(into[name], string(text))
	}
}

// contents is all that clients of a store can see.
func contents(t *testing.T, s *store.Store) map[string][]any {
	t.Helper()
	all, q := map[string][]any{}, store.Query{Caller: store.Caller{Admin: true}}
	listed(t, all, "users", s.ListUsers(t.Context(), q))
	listed(t, all, "labels", s.ListLabels(t.Context(), q))
	listed(t, all, "nodes", s.ListNodes(t.Context(), q))
	listed(t, all, "locations", s.ListLocations(t.Context(), q))
	listed(t, all, "mappings", s.ListServiceMappings(t.Context(), q))
	listed(t, all, "resources", s.ListResources(t.Context(), q))
	for a, err := range s.ListApplications(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.Application(t.Context(), a.UID)
		if err != nil {
			t.Fatal(err)
		}
		all["applications"] = append(all["applications"], e.Application)
		all["current"] = append(all["current"], e.Fold.Current)
		for _, state := range e.States {
			all["states"] = append(all["states"], state.UID)
		}
		for _, task := range e.Tasks {
			all["tasks"] = append(all["tasks"], task)
		}
	}
	return all
}

// TestKeptHomeIsEnrolled opens the database of a node that ran alone: all of it
// becomes rows of this node, and a second node that is given them shows the same.
func TestKeptHomeIsEnrolled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kept := Unpack(t, BeforeCluster, dir)
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "sqlite.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("databases of the kept home: %v, %v", files, err)
	}
	var node model.UID
	if err := json.Unmarshal([]byte(`"`+kept.NodeUID+`"`), &node); err != nil {
		t.Fatal(err)
	}
	s, second := openStore(t, filepath.Dir(files[0]), node), openStore(t, t.TempDir(), model.UID{9, 9, 9, 9, 9, 9, 0x40, 0, 0x80})
	kinds := map[replica.Kind]int{}
	origin := s.Origin()
	for known := s.Vector()[origin]; second.Vector()[origin] < known; {
		b, err := s.Rows(t.Context(), origin, second.Vector()[origin], replica.Limit{Rows: 50, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Rows {
			kinds[r.Kind]++
		}
		if err := second.Replicate(t.Context(), []replica.Batch{b}); err != nil {
			t.Fatal(err)
		}
	}
	all := contents(t, s)
	want := map[replica.Kind]int{
		replica.KindUser: len(all["users"]), replica.KindNode: 1, replica.KindLocation: len(all["locations"]),
		replica.KindServiceMapping: len(all["mappings"]), replica.KindApplication: len(all["applications"]),
		replica.KindApplicationState: len(all["states"]), replica.KindApplicationTask: len(all["tasks"]),
		replica.KindResource: len(all["resources"]),
	}
	for kind, n := range want {
		if kinds[kind] != n || n == 0 {
			t.Errorf("%d rows of kind %d for %d nouns", kinds[kind], kind, n)
		}
	}
	if got := kinds[replica.KindLabel]; got < len(all["labels"]) || got == 0 {
		t.Errorf("%d rows of labels for %d", got, len(all["labels"]))
	}
	if diff := cmp.Diff(all, contents(t, second)); diff != "" {
		t.Errorf("the second node shows something else (-kept +second):\n%s", diff)
	}
	here, err := s.Digests(t.Context(), time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	there, err := second.Digests(t.Context(), time.Unix(0, 0))
	if err != nil || !cmp.Equal(here, there) {
		t.Errorf("digests differ: %v", err)
	}
}
