package replica

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var update = flag.Bool("update", false, "write the golden bodies anew; only for kinds that no release wrote yet")

func uid(b byte) model.UID {
	return model.UID{b, 1, 2, 3, 4, 5, 0x40, 7, 0x80, 9, 10, 11, 12, 13, 14, b}
}

func at(s int64) time.Time { return time.Unix(1767225600+s, 123456789).UTC() }

// kindOf is KeyOf for a noun that hides in an interface.
func kindOf(noun any) (Kind, []byte) {
	switch n := noun.(type) {
	case model.User:
		return KeyOf(n)
	case model.Label:
		return KeyOf(n)
	case model.Node:
		return KeyOf(n)
	case model.Location:
		return KeyOf(n)
	case model.ServiceMapping:
		return KeyOf(n)
	case model.Application:
		return KeyOf(n)
	case model.ApplicationState:
		return KeyOf(n)
	case model.ApplicationTask:
		return KeyOf(n)
	case model.Resource:
		return KeyOf(n)
	case model.Retirement:
		return KeyOf(n)
	case model.Handover:
		return KeyOf(n)
	case model.Ownership:
		return KeyOf(n)
	case model.ResourceAccess:
		return KeyOf(n)
	case model.AccessUse:
		return KeyOf(n)
	}
	return 0, nil
}

// samples holds one noun of each kind with every field set.
func samples() map[string]any {
	auth := &model.Authentication{Username: "ci", Password: "p<&>", Port: 22, Key: "-----BEGIN"}
	raw := json.RawMessage(`{"B": 1.50, "a": ["é", null]}`)
	vote := model.Vote{
		UID: model.VoteUID(uid(6), uid(3), 0, 2), ApplicationUID: uid(6), NodeUID: uid(3), Round: 2, Available: 1, Rand: 77, CreatedAt: at(4),
	}
	odd := model.Vote{UID: uid(11), ApplicationUID: uid(12), NodeUID: uid(4), Round: 3, Available: -1, CreatedAt: at(5)}
	return map[string]any{
		"user": model.User{
			Name: "jörg", Hash: model.PasswordHash{Algo: "Argon2id", Memory: 65536, Iterations: 1, Threads: 8, Salt: []byte{1, 2}, Hash: []byte{3, 255}},
			CreatedAt: at(0), UpdatedAt: at(1), HLC: 1767225600123456790,
		},
		"label": model.Label{
			UID: uid(2), Name: "xcode", Version: 3, Metadata: raw, CreatedAt: at(1), HLC: 10,
			Definitions: []model.LabelDefinition{{
				Driver: "aws/dev", Options: raw, Authentication: auth,
				Resources: model.Resources{
					CPU: 2, RAM: 4, Disks: map[string]model.Disk{"ws": {Type: "apfs", Label: "l", Size: 9, Reuse: true, Clone: "/c"}},
					Network: "nat", NodeFilter: []string{"host:*"}, Multitenancy: true, CPUOverbook: true, RAMOverbook: true, Lifetime: "1h",
				},
			}},
		},
		"node": model.Node{
			UID: uid(3), Name: "node-1", Address: "10.0.0.1:8001", LocationName: "berlin", Pubkey: []byte{48, 42}, Definition: raw,
			CreatedAt: at(1), UpdatedAt: at(2), HLC: 11,
		},
		"location": model.Location{Name: "berlin", Description: "office", CreatedAt: at(1), HLC: 12},
		"service_mapping": model.ServiceMapping{
			UID: uid(5), ApplicationUID: uid(6), LocationName: "berlin", Service: "artifactory:443", Redirect: "10.0.0.9:443", CreatedAt: at(1), HLC: 13,
		},
		"application": model.Application{
			UID: uid(6), LabelUID: uid(2), OwnerName: "jörg", Metadata: raw, CreatedAt: at(2), HLC: 14, Arbiter: uid(3),
		},
		"application_state": model.ApplicationState{
			UID: uid(7), ApplicationUID: uid(6), Status: model.StatusElected, Description: "Elected node-1", CreatedAt: at(3), HLC: 15,
			Epoch: 1, NodeUID: uid(3), Decision: &model.Decision{Round: 2, Winner: uid(3), Definition: 1, Yes: []model.Vote{vote, odd}, No: 4, Missing: 5},
		},
		"application_task": model.ApplicationTask{
			UID: uid(8), ApplicationUID: uid(6), Task: "snapshot", When: "DEALLOCATE", Options: raw, Result: json.RawMessage(`{}`),
			CreatedAt: at(4), UpdatedAt: at(5), HLC: 16,
		},
		"resource": model.Resource{
			UID: uid(9), ApplicationUID: uid(6), LabelUID: uid(2), NodeUID: uid(3), DefinitionIndex: 1, Identifier: "i-0", IPAddr: "10.0.0.7",
			HWAddr: "02:00:00:00:00:01", Authentication: auth, Metadata: raw, CreatedAt: at(5), UpdatedAt: at(6), HLC: 17,
		},
		"retirement": model.Retirement{NodeUID: uid(3), Successor: uid(4), Forced: true, By: "admin", CreatedAt: at(7), HLC: 18},
		"handover":   model.Handover{UID: uid(10), NodeUID: uid(3), Successor: uid(4), CreatedAt: at(8), HLC: 19},
		"ownership":  model.Ownership{UID: uid(11), Thing: "aws/mac", From: uid(3), To: uid(4), By: uid(3), CreatedAt: at(9), HLC: 20},
		"resource_access": model.ResourceAccess{
			UID: uid(12), ResourceUID: uid(9), ApplicationUID: uid(6), UserName: "jörg", Digest: []byte{1, 255}, PublicKey: []byte{0, 0, 0, 11},
			CreatedAt: at(10), ExpiresAt: at(70), HLC: 21,
		},
		"access_use": model.AccessUse{
			AccessUID: uid(12), ResourceUID: uid(9), ApplicationUID: uid(6), SessionUID: uid(13), EntryUID: uid(4), UserName: "jörg",
			Client: "192.0.2.1:50122", HostKey: []byte{0, 0, 0, 7}, UsedAt: at(11), HLC: 22,
		},
	}
}

// TestGolden holds every body to the bytes that are stored on other nodes, and
// reads them back: neither a key nor the meaning of one may change.
func TestGolden(t *testing.T) {
	for _, c := range codecs() {
		t.Run(c.name, func(t *testing.T) {
			noun := samples()[c.name]
			got, err := c.encode(noun)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", c.name+".json")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
				t.Errorf("body (-want +got)\n%s", diff)
			}
			read, err := c.decode(want)
			if diff := cmp.Diff(noun, read); err != nil || diff != "" {
				t.Errorf("golden body, %v (-want +got)\n%s", err, diff)
			}
		})
	}
}

func TestKeyOf(t *testing.T) {
	want := map[string]struct {
		kind Kind
		key  string
	}{
		"user": {1, "jörg"}, "label": {2, uidText(2)}, "node": {3, uidText(3)}, "location": {4, "berlin"},
		"service_mapping": {5, uidText(5)}, "application": {6, uidText(6)}, "application_state": {7, uidText(7)},
		"application_task": {8, uidText(8)}, "resource": {9, uidText(9)}, "retirement": {10, uidText(3) + uidText(4)}, "handover": {11, uidText(10)}, "ownership": {12, uidText(11)},
		"resource_access": {13, uidText(12)}, "access_use": {14, uidText(12) + uidText(9)},
	}
	for name, noun := range samples() {
		kind, key := kindOf(noun)
		if kind != want[name].kind || string(key) != want[name].key {
			t.Errorf("KeyOf(%s) = %d, %q, want %d, %q", name, kind, key, want[name].kind, want[name].key)
		}
	}
	if got, err := UIDKey([]byte(uidText(5))); err != nil || got != uid(5) {
		t.Errorf("UIDKey = %v, %v, want %v", got, err, uid(5))
	}
	if _, err := UIDKey([]byte("short")); err == nil {
		t.Error("UIDKey of 5 bytes: no error")
	}
}

func uidText(b byte) string { u := uid(b); return string(u[:]) }
