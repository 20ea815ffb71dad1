package client_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// newClient returns a client of user u with password p for a TLS server that
// answers every request with status and body, and where that server notes the
// last request.
func newClient(t *testing.T, status int, body string) (*client.ClientWithResponses, *seen) {
	t.Helper()
	s := &seen{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note(r)
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	c, err := client.NewClientWithResponses(server.URL, client.WithHTTPClient(server.Client()), client.WithBasicAuth("u", "p"))
	if err != nil {
		t.Fatalf("new client: %v", err)
	}
	return c, s
}

// seen is what a server noted of a request.
type seen struct{ Line, User, Password, Type, Body string }

func (s *seen) note(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.Line, s.Type, s.Body = r.Method+" "+r.URL.RequestURI(), r.Header.Get("Content-Type"), string(body)
	s.User, s.Password, _ = r.BasicAuth()
}

func TestList(t *testing.T) {
	c, s := newClient(t, 200, `[{"UID":"6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c11","metadata":{"z":1,"a":2},"name":"x","version":3}]`)
	filter := "name='x' AND version=3"
	answer, err := c.LabelListWithResponse(context.Background(), &apiv1.LabelListParams{Filter: &filter})
	if err != nil {
		t.Fatalf("LabelList: %v", err)
	}
	want := &seen{Line: "GET /api/v1/label/?filter=name%3D%27x%27+AND+version%3D3", User: "u", Password: "p"}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if answer.JSON200 == nil || len(*answer.JSON200) != 1 {
		t.Fatalf("JSON200 = %v, want one label; body %s", answer.JSON200, answer.Body)
	}
	label := (*answer.JSON200)[0]
	if label.Version != 3 || string(label.Metadata) != `{"z":1,"a":2}` {
		t.Errorf("label = version %d, metadata %s, want 3 and the raw object", label.Version, label.Metadata)
	}
}

func TestCreate(t *testing.T) {
	c, s := newClient(t, 200, `{}`)
	uid := uuid.MustParse("6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c11")
	request := apiv1.ApplicationRequest{LabelUID: uid, Metadata: json.RawMessage(`{"z":1,"a":2}`)}
	if _, err := c.ApplicationCreateWithResponse(context.Background(), request); err != nil {
		t.Fatalf("ApplicationCreate: %v", err)
	}
	want := &seen{
		Line: "POST /api/v1/application/", User: "u", Password: "p", Type: "application/json",
		Body: `{"label_UID":"6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c11","metadata":{"z":1,"a":2}}`,
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestFailure(t *testing.T) {
	for _, status := range []int{400, 401, 404, 429, 500} {
		c, _ := newClient(t, status, `{"message":"no"}`)
		answer, err := c.ApplicationStateGetWithResponse(context.Background(), uuid.UUID{})
		if err != nil {
			t.Fatalf("ApplicationStateGet: %v", err)
		}
		if answer.JSON200 != nil || answer.JSONDefault == nil || answer.JSONDefault.Message != "no" || answer.StatusCode() != status {
			t.Errorf("status %d: answer %+v, want only the message", status, answer)
		}
	}
}
