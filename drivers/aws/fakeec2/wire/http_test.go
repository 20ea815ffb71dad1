package wire_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// unsigned serves a backend to whoever asks.
func unsigned(t *testing.T, backend cloud.API) *wiretest.Server {
	t.Helper()
	return wiretest.Serve(t, backend, wire.Options{Region: region})
}

// send posts a form of names and values; the Version is EC2's if it is not among them.
func send(ctx context.Context, endpoint string, pairs ...string) (status int, body string, err error) {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	if !form.Has("Version") {
		form.Set("Version", "2016-11-15")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(read), err
}

// post is send of what has to get an answer.
func post(t *testing.T, url string, pairs ...string) (status int, body string) {
	t.Helper()
	status, body, err := send(t.Context(), url, pairs...)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}
