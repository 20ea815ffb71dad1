package apiv1_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// labels is a server of three operations; the others are those of the embedded
// nil interface and are not called.
type labels struct {
	apiv1.StrictServerInterface
	filter *string
}

var errTest = errors.New("the disk is gone")

func (s *labels) LabelList(_ context.Context, r apiv1.LabelListRequestObject) (apiv1.LabelListResponseObject, error) {
	s.filter = r.Params.Filter
	return labelStream{names: []string{"a", "b"}}, nil
}

func (s *labels) LabelCreate(_ context.Context, r apiv1.LabelCreateRequestObject) (apiv1.LabelCreateResponseObject, error) {
	return apiv1.LabelCreate200JSONResponse{Name: r.Body.Name, Metadata: r.Body.Metadata, Definitions: r.Body.Definitions}, nil
}

func (s *labels) LabelGet(context.Context, apiv1.LabelGetRequestObject) (apiv1.LabelGetResponseObject, error) {
	return nil, errTest
}

func (s *labels) NodeThisProfilingGet(_ context.Context, r apiv1.NodeThisProfilingGetRequestObject) (apiv1.NodeThisProfilingGetResponseObject, error) {
	return apiv1.NodeThisProfilingGet200AsteriskResponse{
		Body: strings.NewReader("profile " + r.Profile), ContentType: "application/octet-stream",
	}, nil
}

// labelStream is a response of the server's own that never holds the whole list.
type labelStream struct{ names []string }

func (s labelStream) VisitLabelListResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	mark := "["
	for _, name := range s.names {
		if _, err := io.WriteString(w, mark+`{"name":"`+name+`"}`); err != nil {
			return err
		}
		mark = ","
	}
	_, err := io.WriteString(w, "]\n")
	return err
}

// render writes JSON as doc.go describes and leaves other objects alone.
func render(next apiv1.StrictHandlerFunc, _ string) apiv1.StrictHandlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		response, err := next(ctx, w, r, request)
		if _, ok := response.(apiv1.LabelCreate200JSONResponse); !ok || err != nil {
			return response, err
		}
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		if r.URL.Query().Has("pretty") {
			enc.SetIndent("", "  ")
		}
		if err := enc.Encode(response); err != nil {
			return nil, err
		}
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_, err = w.Write(buf.Bytes())
		return nil, err
	}
}

// newServer returns the handler of s with plain text errors.
func newServer(s *labels) http.Handler {
	fail := func(status int) func(http.ResponseWriter, *http.Request, error) {
		return func(w http.ResponseWriter, _ *http.Request, err error) { http.Error(w, err.Error(), status) }
	}
	strict := apiv1.NewStrictHandlerWithOptions(s, []apiv1.StrictMiddlewareFunc{render}, apiv1.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: fail(http.StatusBadRequest), ResponseErrorHandlerFunc: fail(http.StatusInternalServerError),
	})
	return apiv1.HandlerWithOptions(strict, apiv1.ChiServerOptions{ErrorHandlerFunc: fail(http.StatusBadRequest)})
}

func TestServer(t *testing.T) {
	const jsonType = "application/json; charset=UTF-8"
	tests := []struct {
		name, method, url, body string
		status                  int
		want, contentType       string
	}{
		{"streamed list", "GET", "/api/v1/label/", "", 200, `[{"name":"a"},{"name":"b"}]` + "\n", jsonType},
		{
			"own JSON writer", "POST", "/api/v1/label/", `{"name":"<x>","metadata":{"z":1.0,"a":2}}`, 200,
			`{"UID":"00000000-0000-0000-0000-000000000000","created_at":"0001-01-01T00:00:00Z","definitions":null,"metadata":{"z":1.0,"a":2},"name":"\u003cx\u003e","version":0}` + "\n", jsonType,
		},
		{"raw answer", "GET", "/api/v1/node/this/profiling/heap?debug=1", "", 200, "profile heap", "application/octet-stream"},
		{"error of a handler", "GET", "/api/v1/label/6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c11", "", 500, errTest.Error() + "\n", ""},
		{"malformed UID", "GET", "/api/v1/label/x", "", 400, "Invalid format for parameter uid: ", ""},
		{"repeated query value", "GET", "/api/v1/label/?filter=a&filter=b", "", 400, "Invalid format for parameter filter: ", ""},
		{"wrong type of a query value", "GET", "/api/v1/node/this/maintenance?enable=perhaps", "", 400, "Invalid format for parameter enable: ", ""},
		{"wrong JSON type", "POST", "/api/v1/label/", `{"name":1}`, 400, "can't decode JSON body: ", ""},
		{"negative cpu", "POST", "/api/v1/label/", `{"definitions":[{"resources":{"cpu":-1}}]}`, 400, "can't decode JSON body: ", ""},
		{"slash missing", "GET", "/api/v1/label", "", 404, "404 page not found\n", ""},
		{"slash too much", "GET", "/api/v1/label/6f1ab1a8-2ce3-4e5d-a6a8-5d4b6a2d0c11/", "", 404, "404 page not found\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(test.method, test.url, strings.NewReader(test.body))
			newServer(&labels{}).ServeHTTP(w, r)
			if w.Code != test.status || !strings.HasPrefix(w.Body.String(), test.want) {
				t.Errorf("%s %s = %d %q, want %d %q", test.method, test.url, w.Code, w.Body, test.status, test.want)
			}
			if got := w.Header().Get("Content-Type"); test.contentType != "" && got != test.contentType {
				t.Errorf("Content-Type = %q, want %q", got, test.contentType)
			}
		})
	}
}

func TestPretty(t *testing.T) {
	for _, query := range []string{"?pretty", "?pretty=1"} {
		w := httptest.NewRecorder()
		newServer(&labels{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/label/"+query, strings.NewReader(`{"name":"x","metadata":{"a":1}}`)))
		if !strings.Contains(w.Body.String(), "\n  \"metadata\": {\n    \"a\": 1\n  },\n") {
			t.Errorf("%s answers %s, want it indented", query, w.Body)
		}
	}
}

// An absent filter selects everything and an empty one nothing, so a server has
// to tell them apart; commas and quotes reach it as they are.
func TestFilterReachesTheServer(t *testing.T) {
	text := func(s string) *string { return &s }
	tests := []struct {
		name, query string
		want        *string
	}{
		{"absent", "", nil},
		{"empty", "?filter=", text("")},
		{"double quotes", `?filter=name="x"`, text(`name="x"`)},
		{"commas", "?filter=name+IN+('a','b')", text("name IN ('a','b')")},
		{"escaped", "?filter=version%3C3%3B%20--%26", text("version<3; --&")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &labels{}
			r := httptest.NewRequest(http.MethodGet, "/api/v1/label/", nil)
			r.URL.RawQuery = strings.TrimPrefix(test.query, "?")
			newServer(s).ServeHTTP(httptest.NewRecorder(), r)
			if (s.filter == nil) != (test.want == nil) || s.filter != nil && *s.filter != *test.want {
				t.Errorf("filter = %v, want %v", deref(s.filter), deref(test.want))
			}
		})
	}
}

// deref makes an optional text printable.
func deref(s *string) string {
	if s == nil {
		return "absent"
	}
	return "'" + *s + "'"
}
