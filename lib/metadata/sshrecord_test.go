package metadata

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSSHRecord(t *testing.T) {
	t.Parallel()
	tests := []struct {
		label   string
		want    bool
		refused string // part of what CheckLabel says
	}{
		{label: ``},
		{label: `{}`},
		{label: `{"AQUARIUM_FISH_SSH_RECORD":true}`, want: true},
		{label: `{"A":1,"AQUARIUM_FISH_SSH_\u0052ECORD":true}`, want: true},
		{label: `{"AQUARIUM_FISH_SSH_RECORD":false}`},
		{label: `{"AQUARIUM_FISH_SSH_RECORDING":"yes"}`},
		{label: `{"a":{"AQUARIUM_FISH_SSH_RECORD":"yes"}}`},
		{label: `{"AQUARIUM_FISH_SSH_RECORD":"true"}`, refused: "want true or false, without quotes"},
		{label: `{"AQUARIUM_FISH_SSH_RECORD":1}`, refused: "want true or false"},
		{label: `{"AQUARIUM_FISH_SSH_RECORD":null}`, refused: "want true or false"},
		{label: `{"AQUARIUM_FISH_SSH_RECORD":{}}`, refused: "want true or false"},
		{label: `{"aquarium_fish_ssh_record":true}`, refused: "it is written AQUARIUM_FISH_SSH_RECORD"},
		{label: `{"AQUARIUM_FISH.SSH_RECORD":true}`, refused: "it is written AQUARIUM_FISH_SSH_RECORD"},
		{label: `[true]`, refused: "not a JSON object"},
		{label: `{`, refused: "not JSON"},
	}
	for _, tt := range tests {
		if got := SSHRecord(json.RawMessage(tt.label)); got != tt.want {
			t.Errorf("SSHRecord(%s) = %v, want %v", tt.label, got, tt.want)
		}
		err := CheckLabel(json.RawMessage(tt.label))
		if (err != nil) != (tt.refused != "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
			t.Errorf("CheckLabel(%s) = %v, want %q", tt.label, err, tt.refused)
		}
	}
}
