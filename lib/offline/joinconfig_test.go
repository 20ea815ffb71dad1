package offline

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
)

// TestCompleteConfig: a file gets the keys that it lacks, and is otherwise left as it is, or alone: then the lines are told.
func TestCompleteConfig(t *testing.T) {
	const join = `cluster_join: ["a:1","b:2"]` + "\n"
	for _, tt := range []struct {
		name, text, want, told string
		none                   bool // there is no file
	}{
		{name: "no file", none: true, want: "node_name: \"b\"\n" + join},
		{name: "empty", want: "node_name: \"b\"\n" + join},
		{name: "with a name", text: "# mine\nnode_name: b # here\n", want: "# mine\nnode_name: b # here\n" + join},
		{name: "no newline at its end", text: "node_name: b", want: "node_name: b\n" + join},
		{name: "in capitals", text: "NODE_NAME: b\n", want: "NODE_NAME: b\n" + join},
		{name: "an address of the cluster", text: "node_name: b\ncluster_join: [\"b:2\", \"c:3\"]\n", want: "node_name: b\ncluster_join: [\"b:2\", \"c:3\"]\n"},
		{name: "another address", text: "node_name: b\ncluster_join: [\"c:3\"]\n", want: "node_name: b\ncluster_join: [\"c:3\"]\n", told: join},
		{name: "one line of JSON", text: `{"node_name": "b"}` + "\n", want: `{"node_name": "b"}` + "\n", told: join},
		{name: "an ended document", text: "node_name: b\n...\n", want: "node_name: b\n...\n", told: join},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "fish.yml")
			if !tt.none {
				if err := os.WriteFile(path, []byte(tt.text), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			file, err := openConfig(path)
			if err != nil {
				t.Fatal(err)
			}
			j := &joining{joinRequest: &joinRequest{}, file: file}
			j.Host = config.Host{
				Name: func() (string, error) { return "host", nil }, Identifiers: func(context.Context) ([]string, error) { return nil, nil },
			}
			j.target.flags.File = path
			if err := j.load(t.Context(), "b"); err != nil {
				t.Fatal(err)
			}
			told, err := file.complete(t.Context(), j, &enrol.Journal{Addresses: []string{"a:1", "b:2"}})
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(path); string(got) != tt.want || told != tt.told {
				t.Errorf("the file is\n%s\nwant\n%s\ntold %q, want %q", got, tt.want, told, tt.told)
			}
			if info, err := os.Stat(path); err == nil && !tt.none && info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, want the one that it had", info.Mode())
			}
		})
	}
	file, err := openConfig("")
	if err != nil {
		t.Fatal(err)
	}
	j := &joining{joinRequest: &joinRequest{}, cfg: &config.Config{NodeName: "b"}, file: file}
	if told, err := file.complete(t.Context(), j, &enrol.Journal{Addresses: []string{"a:1", "b:2"}}); err != nil || told != "node_name: \"b\"\n"+join {
		t.Errorf("without a file: %q, %v", told, err)
	}
}
