package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/pull"
)

// fakeImages takes down what it is asked, and answers with err, or as if all
// was well.
type fakeImages struct {
	err error

	mu    sync.Mutex
	asked []string
}

func (f *fakeImages) note(words ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, strings.Join(words, " "))
}

func (f *fakeImages) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func pulled(label model.Label, by string) pull.Status {
	return pull.Status{
		Instance: "native", LabelUID: label.UID, LabelName: label.Name, LabelVersion: label.Version, By: by, State: pull.Pulling,
		StartedAt: time.Date(2100, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func (f *fakeImages) List(context.Context) pull.Listing {
	ended := pulled(model.Label{UID: model.UID{7}, Name: "mac", Version: 2}, "")
	ended.State, ended.Error, ended.EndedAt = pull.Failed, "disk is full", ended.StartedAt.Add(time.Second)
	return pull.Listing{
		Images: []pull.Image{
			{Instance: "docker", ImageStatus: drivers.ImageStatus{ID: "a/b:1", Name: "a/b", Version: "1", State: drivers.ImageReady, Size: 7, UsedAt: ended.StartedAt, InUse: true}},
			{Instance: "native", ImageStatus: drivers.ImageStatus{ID: "k", Name: "n", Version: "2", Source: "https://h/n-2.tar.gz", State: drivers.ImageDownloading, Done: 3, Total: 9}},
		},
		Pulls:  []pull.Status{ended},
		Errors: []pull.InstanceError{{Instance: "vmx", Reason: "it did not answer in time"}},
	}
}

func (f *fakeImages) PullLabel(label model.Label, by string) ([]pull.Status, error) {
	f.note("pull", label.Name, by)
	if f.err != nil {
		return nil, f.err
	}
	return []pull.Status{pulled(label, by)}, nil
}

func (f *fakeImages) Remove(_ context.Context, instance, id string) error {
	f.note("remove", instance, id)
	return f.err
}

const images = "/api/v1/node/this/image/"

// removal is the path of one image; its ID may hold anything.
func removal(instance, id string) string {
	return images + "?" + url.Values{"instance": {instance}, "id": {id}}.Encode()
}

func TestImages(t *testing.T) {
	n := newNode(t)
	label := n.label(t, "linux")
	pullBody := `{"label_UID":"` + label.String() + `"}`
	pulling := `"definition_index":0,"error":"","instance":"native","label_UID":"` + label.String() + `","label_name":"linux","label_version":1,"started_at":"2100-01-02T03:04:05Z","state":"pulling"`
	for _, tt := range []struct {
		call
		status int
		want   string
	}{
		{call{user: "admin", path: images}, 200, `{"errors":[{"error":"it did not answer in time","instance":"vmx"}],"images":[` +
			`{"done":0,"error":"","id":"a/b:1","in_use":true,"instance":"docker","name":"a/b","size":7,"source":"","state":"ready","total":0,"used_at":"2100-01-02T03:04:05Z","version":"1"},` +
			`{"done":3,"error":"","id":"k","in_use":false,"instance":"native","name":"n","size":0,"source":"https://h/n-2.tar.gz","state":"downloading","total":9,"version":"2"}],` +
			`"pulls":[{"by":"","definition_index":0,"ended_at":"2100-01-02T03:04:06Z","error":"disk is full","instance":"native","label_UID":"07000000-0000-0000-0000-000000000000","label_name":"mac","label_version":2,"started_at":"2100-01-02T03:04:05Z","state":"failed"}]}`},
		{call{user: "admin", method: "POST", path: images, body: pullBody}, 200, `[{"by":"admin",` + pulling + `}]`},
		{call{user: "admin", method: "POST", path: images, body: "label_UID: " + label.String(), contentType: "application/yaml"}, 200, `[{"by":"admin",` + pulling + `}]`},
		{call{user: "admin", method: "DELETE", path: removal("docker", "host:5000/a/b@sha256:0f")}, 200, `{"message":"Image removed"}`},
		{call{user: "admin", method: "POST", path: images, body: `{"label_UID":"` + absent + `"}`}, 400, `{"message":"Unable to find the Label: ` + absent + `"}`},
		{call{user: "admin", method: "POST", path: images, body: `{}`}, 400, `{"message":"Unable to pull images: label_UID can't be empty"}`},
		{call{user: "admin", method: "POST", path: images, body: `{"label_UID":"mac"}`}, 400, `{"message":"Wrong request body: label_UID: invalid UUID length: 3"}`},
		{call{user: "admin", method: "DELETE", path: images + "?id=x"}, 400, `{"message":"Query argument instance is required, but not found"}`},
		{call{user: "alice", path: images}, 400, `{"message":"Only 'admin' user can list images"}`},
		{call{user: "alice", method: "POST", path: images, body: pullBody}, 400, `{"message":"Only 'admin' user can pull images"}`},
		{call{user: "alice", method: "DELETE", path: removal("docker", "x")}, 400, `{"message":"Only 'admin' user can remove images"}`},
		{call{path: images}, 401, `{"message":"Unauthorized"}`},
		{call{user: "admin", path: strings.TrimSuffix(images, "/")}, 404, `{"message":"Not Found"}`},
	} {
		got := n.do(t, tt.call)
		if got.status != tt.status || got.body != tt.want+"\n" {
			t.Errorf("%s %s as %s = %d %s, want %d %s", tt.method, tt.path, tt.user, got.status, got.body, tt.status, tt.want)
		}
	}
	want := []string{"pull linux admin", "pull linux admin", "remove docker host:5000/a/b@sha256:0f"}
	if diff := cmp.Diff(want, n.images.taken()); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}

func TestImagesThatAreRefused(t *testing.T) {
	n := newNode(t)
	body := `{"label_UID":"` + n.label(t, "linux").String() + `"}`
	for _, tt := range []struct {
		method string
		err    error
		status int
		want   string
	}{
		{"POST", &pull.RefusedError{Refusals: []pull.Refusal{{Reason: "driver test keeps no images", Lasting: true}}}, 409,
			"Unable to pull images of label linux:1 to this node: definition 0: driver test keeps no images"},
		{"POST", &pull.RefusedError{Refusals: []pull.Refusal{{Lasting: true}, {Definition: 1, Reason: "driver docker is not ready: no engine"}}}, 503,
			"definition 1: driver docker is not ready: no engine"},
		{"POST", pull.ErrCrowded, 503, "too many pulls are on their way"},
		{"POST", pull.ErrStopping, 503, "the node is stopping"},
		{"POST", &pull.InstanceError{Instance: "native", Reason: "was closed"}, 400, "driver native was closed"},
		{"DELETE", &pull.InstanceError{Instance: "native", Reason: "keeps no images"}, 404, "Unable to find the image: driver native keeps no images"},
		{"DELETE", drivers.ErrImageUnknown, 404, `Unable to find the image: driver native has none with the ID \"100%\": ` + "`aquarium-fish image list` shows those there are"},
		{"DELETE", fmt.Errorf("%w: environment token needs it", drivers.ErrImageInUse), 400,
			`Unable to remove the image \"100%\": an environment needs it, or it is on its way: try again when nothing does any more (image is in use: environment token needs it)`},
		{"DELETE", pull.ErrGoesOn, 503, "it takes long and goes on"},
		{"DELETE", pull.ErrStopping, 503, "the node is stopping"},
		{"DELETE", pull.ErrBusy, 503, "Unable to remove the image: the driver instance has not answered what it was asked before"},
		{"DELETE", errors.New("file system is read-only"), 400, `Unable to remove the image \"100%\": file system is read-only`},
	} {
		n.images.err = tt.err
		c := call{user: "admin", method: tt.method, path: images, body: body}
		if tt.method == "DELETE" {
			c.path, c.body = removal("native", "100%"), ""
		}
		if got := n.do(t, c); got.status != tt.status || !strings.Contains(got.body, tt.want) {
			t.Errorf("%s after %v = %d %s, want %d with %s", tt.method, tt.err, got.status, got.body, tt.status, tt.want)
		}
	}
}

// TestImagesOfMember: by any node, with an ID that holds slashes and colons. A
// pull is never sent to who made the label.
func TestImagesOfMember(t *testing.T) {
	f := newFarm(t)
	path := "/api/v1/node/b/image/"
	if r := f.c.do(t, call{user: "admin", path: path}); r.status != http.StatusOK || !strings.Contains(r.body, `"id":"a/b:1"`) {
		t.Errorf("list = %d %s", r.status, r.body)
	}
	query := strings.TrimPrefix(removal("docker", "host:5000/a/b@sha256:0f"), images)
	if r := f.c.do(t, call{user: "admin", method: "DELETE", path: path + query}); r.status != http.StatusOK {
		t.Errorf("remove = %d %s", r.status, r.body)
	}
	label := f.b.label(t, "linux")
	if r := f.c.do(t, call{user: "admin", method: "POST", path: path, body: `{"label_UID":"` + label.String() + `"}`}); r.status != http.StatusOK {
		t.Errorf("pull = %d %s", r.status, r.body)
	}
	if r := f.c.do(t, call{user: "bob", path: path}); r.status != http.StatusBadRequest {
		t.Errorf("list as bob = %d %s", r.status, r.body)
	}
	want := []string{"remove docker host:5000/a/b@sha256:0f", "pull linux admin"}
	if diff := cmp.Diff(want, f.b.images.taken()); diff != "" {
		t.Errorf("B was asked for (-want +got):\n%s", diff)
	}
	if got := f.c.images.taken(); got != nil {
		t.Errorf("C was asked for %v", got)
	}
	if r := f.c.do(t, call{user: "admin", method: "POST", path: images, body: `{"label_UID":"` + label.String() + `"}`}); r.status != http.StatusBadRequest ||
		!strings.Contains(r.body, "Unable to find the Label") {
		t.Errorf("pull of a label that does not come = %d %s", r.status, r.body)
	}
	if n := len(f.b.images.taken()); n != 2 {
		t.Errorf("C's own pull went to B: %v", f.b.images.taken())
	}
}
