package openapi_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/openapi"
)

// routes are those of contract 6, written out by hand, plus the vote list and
// our own, which come last.
var routes = map[string][]string{
	"/api/v1/user/":                           {"GET", "POST"},
	"/api/v1/user/me/":                        {"GET"},
	"/api/v1/user/{name}":                     {"DELETE", "GET"},
	"/api/v1/label/":                          {"GET", "POST"},
	"/api/v1/label/{uid}":                     {"DELETE", "GET"},
	"/api/v1/resource/":                       {"GET"},
	"/api/v1/resource/{uid}":                  {"GET"},
	"/api/v1/resource/{uid}/access":           {"GET"},
	"/api/v1/application/":                    {"GET", "POST"},
	"/api/v1/application/active/":             {"GET"},
	"/api/v1/application/{uid}":               {"GET"},
	"/api/v1/application/{uid}/state":         {"GET"},
	"/api/v1/application/{uid}/resource":      {"GET"},
	"/api/v1/application/{uid}/task/":         {"GET", "POST"},
	"/api/v1/application/{uid}/deallocate":    {"GET"},
	"/api/v1/task/{task_uid}":                 {"GET"},
	"/api/v1/node/":                           {"GET"},
	"/api/v1/node/this/":                      {"GET"},
	"/api/v1/node/this/maintenance":           {"GET"},
	"/api/v1/node/this/profiling/":            {"GET"},
	"/api/v1/node/this/profiling/{profile}":   {"GET"},
	"/api/v1/location/":                       {"GET", "POST"},
	"/api/v1/servicemapping/":                 {"GET", "POST"},
	"/api/v1/servicemapping/{uid}":            {"DELETE", "GET"},
	"/api/v1/vote/":                           {"GET"},
	"/api/v1/node/this/drain":                 {"GET", "POST"},
	"/healthz":                                {"GET"},
	"/readyz":                                 {"GET"},
	"/api/v1/audit/":                          {"GET"},
	"/meta/v1/data/":                          {"GET"},
	"/meta/v1/data/{key_path}":                {"GET"},
	"/api/v1/application/{uid}/explain":       {"GET"},
	"/api/v1/node/this/drivers":               {"GET"},
	"/api/v1/node/this/image/":                {"DELETE", "GET", "POST"},
	"/api/v1/node/this/driver/command/":       {"GET", "POST"},
	"/api/v1/node/{node}/driver/command/":     {"GET", "POST"},
	"/api/v1/label/check":                     {"POST"},
	"/api/v1/cluster/":                        {"GET"},
	"/api/v1/cluster/invitation/":             {"GET", "POST"},
	"/api/v1/cluster/invitation/{ref}":        {"DELETE"},
	"/api/v1/cluster/retirement/":             {"GET", "POST"},
	"/api/v1/node/{node}/drivers":             {"GET"},
	"/api/v1/node/{node}/image/":              {"DELETE", "GET", "POST"},
	"/api/v1/node/{node}/drain":               {"GET", "POST"},
	"/api/v1/node/{node}/maintenance":         {"GET"},
	"/api/v1/node/{node}/profiling/":          {"GET"},
	"/api/v1/node/{node}/profiling/{profile}": {"GET"},
	"/api/v1/resource/{uid}/ssh":              {"GET"},
	"/api/v1/node/this/ssh":                   {"GET"},
	"/api/v1/node/{node}/ssh":                 {"GET"},
}

// filtered are the routes of contract 6 that take `?filter`.
var filtered = []string{
	"ApplicationList", "ApplicationTaskList", "LabelList", "LocationList", "NodeList",
	"ResourceList", "ServiceMappingList", "UserList", "VoteList",
}

// load parses and validates the specification.
func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Spec())
	if err != nil {
		t.Fatalf("load specification: %v", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatalf("validate specification: %v", err)
	}
	return doc
}

// eachOperation calls f for every operation.
func eachOperation(doc *openapi3.T, f func(path, method string, op *openapi3.Operation)) {
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			f(path, method, op)
		}
	}
}

func TestSpecIsOpenAPI303(t *testing.T) {
	if got := load(t).OpenAPI; got != "3.0.3" {
		t.Errorf("openapi = %q, want 3.0.3", got)
	}
}

func TestSpecIsNotShared(t *testing.T) {
	openapi.Spec()[0] = 'X'
	if got := openapi.Spec()[0]; got != 'o' {
		t.Errorf("Spec() begins with %q after a caller wrote to its copy, want 'o'", got)
	}
}

func TestSpecRoutes(t *testing.T) {
	got := map[string][]string{}
	eachOperation(load(t), func(path, method string, _ *openapi3.Operation) {
		got[path] = append(got[path], method)
	})
	for path := range got {
		slices.Sort(got[path])
	}
	if diff := cmp.Diff(routes, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestOperationIDsAreUnique(t *testing.T) {
	seen := map[string]string{}
	eachOperation(load(t), func(path, method string, op *openapi3.Operation) {
		route := method + " " + path
		if other, ok := seen[op.OperationID]; ok || op.OperationID == "" {
			t.Errorf("%s has operationId %q, as has %q", route, op.OperationID, other)
		}
		seen[op.OperationID] = route
	})
}

func TestFilterParameters(t *testing.T) {
	got := map[string]bool{}
	eachOperation(load(t), func(_, _ string, op *openapi3.Operation) {
		if p := op.Parameters.GetByInAndName("query", "filter"); p != nil {
			got[op.OperationID] = true
			if !strings.Contains(op.Description, "Filter columns: ") {
				t.Errorf("%s does not list its filter columns", op.OperationID)
			}
		}
	})
	if diff := cmp.Diff(filtered, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("operations with a filter (-want +got):\n%s", diff)
	}
}

func TestOperationsAreDescribed(t *testing.T) {
	eachOperation(load(t), func(path, method string, op *openapi3.Operation) {
		if op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
			t.Errorf("%s %s: summary %q, description %q, tags %q: each must be there", method, path, op.Summary, op.Description, op.Tags)
		}
		if op.Responses.Default() == nil {
			t.Errorf("%s: no default response", op.OperationID)
		}
		if op.Responses.Status(200) == nil && op.OperationID != "MetaDataKeyGet" {
			t.Errorf("%s: no 200 response", op.OperationID)
		}
		for _, code := range []int{201, 204, 403, 405} {
			if op.Responses.Status(code) != nil {
				t.Errorf("%s documents %d, which v1 never answers", op.OperationID, code)
			}
		}
	})
}

func TestCredentials(t *testing.T) {
	doc := load(t)
	if diff := cmp.Diff(openapi3.SecurityRequirements{{"basic": {}}}, doc.Security); diff != "" {
		t.Errorf("default security (-want +got):\n%s", diff)
	}
	eachOperation(doc, func(path, _ string, op *openapi3.Operation) {
		open := op.Security != nil && len(*op.Security) == 0
		if want := !strings.HasPrefix(path, "/api/"); open != want {
			t.Errorf("%s: open to everybody = %v, want %v", op.OperationID, open, want)
		}
		if !open && op.Responses.Status(401) == nil {
			t.Errorf("%s: no 401 response", op.OperationID)
		}
	})
}

func TestBodiesAreJSONOrYAML(t *testing.T) {
	eachOperation(load(t), func(_, method string, op *openapi3.Operation) {
		if method != "POST" {
			return
		}
		got := slices.Sorted(maps.Keys(op.RequestBody.Value.Content))
		if diff := cmp.Diff([]string{"application/json", "application/yaml"}, got); diff != "" {
			t.Errorf("%s media types (-want +got):\n%s", op.OperationID, diff)
		}
	})
}

// What the node sets itself is not asked for.
func TestRequestsLeaveOutWhatTheNodeSets(t *testing.T) {
	for name, schema := range load(t).Components.Schemas {
		if !strings.HasSuffix(name, "Request") {
			continue
		}
		for _, key := range []string{"UID", "created_at", "updated_at", "owner_name", "result"} {
			if schema.Value.Properties[key] != nil {
				t.Errorf("%s has %s", name, key)
			}
		}
	}
}
