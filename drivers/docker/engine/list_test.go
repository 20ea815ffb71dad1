package engine

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

// TestImageGoesWhileItIsLookedAt: an engine tells of an image that it is just
// removing that its layer does not exist. Such an image is not there.
func TestImageGoesWhileItIsLookedAt(t *testing.T) {
	const id = "sha256:52ed5278146366c18909b581a896b80fc0bd97d511e44f8eae8cc51661693832"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		switch {
		case strings.HasSuffix(q.URL.Path, "/images/json"):
			io.WriteString(w, `[{"Id": "`+id+`", "RepoTags": ["`+loadedRepo+`:0__name__1"]}]`)
		case strings.HasSuffix(q.URL.Path, "/containers/json"):
			io.WriteString(w, "[]")
		case strings.Contains(q.URL.Path, "/images/"):
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"message": "layer does not exist"}`)
		}
	}))
	defer server.Close()
	cli, err := client.New(client.WithHost("tcp://" + server.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	i, err := New(Options{
		Client: cli, Logger: slog.New(slog.DiscardHandler), WorkPath: t.TempDir(),
		Cache: images.Options{Path: t.TempDir(), FileRoots: []string{t.TempDir()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if list, err := i.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("List() = %+v, %v, want nothing", list, err)
	}
	if _, found, err := i.inspectImage(t.Context(), id); err != nil || found {
		t.Errorf("inspectImage() = %v, %v, want not there", found, err)
	}
}
