package apiv1_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// keysOf returns the keys of a JSON object in the order of their appearance,
// those of nested objects and lists left out.
func keysOf(t *testing.T, object []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		t.Fatalf("decode %s: %v", object, err)
	}
	var keys []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			t.Fatalf("decode key of %s: %v", object, err)
		}
		keys = append(keys, key.(string))
		var skipped json.RawMessage
		if err := dec.Decode(&skipped); err != nil {
			t.Fatalf("decode value of %s: %v", object, err)
		}
	}
	return strings.Join(keys, " ")
}

// The objects of contract 7: names, casing and order.
func TestKeyOrder(t *testing.T) {
	raw := json.RawMessage(`{}`)
	login := &apiv1.Authentication{}
	on, delay := true, "30s"
	tests := []struct {
		name   string
		object any
		want   string
	}{
		{"User", apiv1.User{}, "created_at hash name updated_at"},
		{"Hash", apiv1.Hash{}, "algo prop salt hash"},
		{"HashProp", apiv1.HashProp{}, "memory iterations threads"},
		{"UserAPIPassword", apiv1.UserAPIPassword{}, "created_at name password updated_at"},
		{"UserAPIPassword echoing", apiv1.UserAPIPassword{Hash: &apiv1.Hash{}}, "created_at hash name password updated_at"},
		{"Label", apiv1.Label{Metadata: raw}, "UID created_at definitions metadata name version"},
		{"LabelDefinition", apiv1.LabelDefinition{Options: raw}, "driver options resources"},
		{"LabelDefinition with login", apiv1.LabelDefinition{Options: raw, Authentication: login}, "authentication driver options resources"},
		{"Resources", apiv1.Resources{}, "cpu cpu_overbook disks lifetime multitenancy network node_filter ram ram_overbook"},
		{"Disk", apiv1.Disk{}, "clone label reuse size type"},
		{"Authentication", apiv1.Authentication{}, "key password port username"},
		{"Application", apiv1.Application{Metadata: raw}, "UID created_at label_UID metadata owner_name"},
		{"ApplicationState", apiv1.ApplicationState{}, "UID application_UID created_at description status"},
		{"ApplicationTask", apiv1.ApplicationTask{Options: raw, Result: raw}, "UID application_UID created_at options result task updated_at when"},
		{"Resource", apiv1.Resource{Metadata: raw}, "UID application_UID created_at definition_index hw_addr identifier ip_addr label_UID metadata node_UID updated_at"},
		{"Resource with login", apiv1.Resource{Metadata: raw, Authentication: login}, "UID application_UID authentication created_at definition_index hw_addr identifier ip_addr label_UID metadata node_UID updated_at"},
		{"ResourceAccess", apiv1.ResourceAccess{}, "UID address created_at key password resource_UID username"},
		{"Node", apiv1.Node{}, "UID address created_at definition location_name name pubkey updated_at"},
		{"NodeDefinition", apiv1.NodeDefinition{}, "cpu disks host memory nets"},
		{"Location", apiv1.Location{}, "created_at description name"},
		{"ServiceMapping", apiv1.ServiceMapping{}, "UID application_UID created_at location_name redirect service"},
		{"Vote", apiv1.Vote{}, "UID application_UID available created_at node_UID rand round"},
		{"NodeMaintenance empty", apiv1.NodeMaintenance{}, ""},
		{"NodeMaintenance", apiv1.NodeMaintenance{Enable: &on, Shutdown: &on, ShutdownDelay: &delay}, "enable shutdown shutdown_delay"},
		{"Message", apiv1.Message{}, "message"},
		{"Error", apiv1.Error{Message: "no"}, "message"},
		{"Error of a body", apiv1.Error{Error: "no"}, "error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := json.Marshal(test.object)
			if err != nil {
				t.Fatalf("marshal: %v", err)
			}
			if keys := keysOf(t, got); keys != test.want {
				t.Errorf("keys = %q, want %q", keys, test.want)
			}
		})
	}
}

func TestRequiredKeysOfEmptyValues(t *testing.T) {
	tests := []struct {
		name   string
		object any
		want   string
	}{
		{"hash", apiv1.Hash{}, `{"algo":"","prop":{"memory":0,"iterations":0,"threads":0},"salt":null,"hash":null}`},
		{"resources", apiv1.Resources{NodeFilter: []string{}}, `{"cpu":0,"cpu_overbook":false,"disks":null,"lifetime":"","multitenancy":false,"network":"","node_filter":[],"ram":0,"ram_overbook":false}`},
		{"login", apiv1.Authentication{}, `{"key":"","password":"","port":0,"username":""}`},
		{"list", apiv1.LabelList200JSONResponse{}, `[]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := json.Marshal(test.object)
			if err != nil || string(got) != test.want {
				t.Errorf("Marshal = %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

// What a client puts in raw fields comes out with its key order and its numbers.
func TestRawFieldsSurvive(t *testing.T) {
	const raw = `{"z":12345678901234567890,"a":[1.50,null,{"y":1e400,"b":"<&>"}]}`
	var request apiv1.LabelRequest
	body := `{"name":"x","definitions":[{"driver":"test","options":` + raw + `}],"metadata":` + raw + `,"unknown":1}`
	if err := json.Unmarshal([]byte(body), &request); err != nil {
		t.Fatalf("unmarshal: %v", err)
	}
	label := apiv1.Label{Definitions: request.Definitions, Metadata: request.Metadata}
	if got := string(label.Metadata); got != raw {
		t.Errorf("metadata = %s, want %s", got, raw)
	}
	if got := string(label.Definitions[0].Options); got != raw {
		t.Errorf("options = %s, want %s", got, raw)
	}
	out, err := json.Marshal(label)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	escaped := strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(raw)
	if n := strings.Count(string(out), escaped); n != 2 {
		t.Errorf("%s has the raw value %d times, want 2", out, n)
	}
}

func TestUIDAndTime(t *testing.T) {
	state := apiv1.ApplicationState{
		UID:       uuid.MustParse("6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c11"),
		CreatedAt: time.Date(2026, 11, 21, 22, 8, 5, 123456789, time.UTC),
		Status:    apiv1.ApplicationStatusALLOCATED,
	}
	want := `{"UID":"6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c11","application_UID":"00000000-0000-0000-0000-000000000000",` +
		`"created_at":"2026-11-21T22:08:05.123456789Z","description":"","status":"ALLOCATED"}`
	got, err := json.Marshal(state)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}
