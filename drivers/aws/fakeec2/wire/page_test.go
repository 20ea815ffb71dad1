package wire_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
)

// turnPages lists all volumes by pages; between is called after each page.
func turnPages(t *testing.T, url string, between func(), more ...string) (seen map[string]int, pages int) {
	t.Helper()
	ids, tokens := regexp.MustCompile(`<volumeId>([^<]*)<`), regexp.MustCompile(`<nextToken>([^<]*)<`)
	seen = map[string]int{}
	params := append([]string{"Action", "DescribeVolumes"}, more...)
	for token := ""; ; {
		turn := params
		if token != "" {
			turn = append(slices.Clone(params), "NextToken", token)
		}
		status, body := post(t, url, turn...)
		if status != 200 {
			t.Fatal(status, body)
		}
		for _, id := range ids.FindAllStringSubmatch(body, -1) {
			seen[id[1]]++
		}
		pages++
		next := tokens.FindStringSubmatch(body)
		if next == nil {
			return seen, pages
		}
		token = next[1]
		between()
	}
}

func volumes(n int) []cloud.Volume {
	var all []cloud.Volume
	for i := range n {
		all = append(all, cloud.Volume{ID: fmt.Sprintf("vol-%02d", i)})
	}
	return all
}

// TestPages lists things that come and go between two pages: what is there all
// the time is listed once, and nothing twice.
func TestPages(t *testing.T) {
	w := newWorld()
	s := wiretest.Serve(t, w, wire.Options{PageSize: 7})
	rapid.Check(t, func(rt *rapid.T) {
		w.volumes = volumes(rapid.IntRange(0, 30).Draw(rt, "volumes"))
		if rapid.Bool().Draw(rt, "disorder") {
			slices.Reverse(w.volumes)
		}
		there := map[string]bool{}
		for _, v := range w.volumes {
			there[v.ID] = true
		}
		made := 0
		seen, pages := turnPages(t, s.URL, func() {
			if len(w.volumes) > 0 && rapid.Bool().Draw(rt, "goes") {
				i := rapid.IntRange(0, len(w.volumes)-1).Draw(rt, "which")
				delete(there, w.volumes[i].ID)
				w.volumes = slices.Delete(w.volumes, i, i+1)
			}
			if rapid.Bool().Draw(rt, "comes") {
				made++
				w.volumes = append(w.volumes, cloud.Volume{ID: fmt.Sprintf("vol-%02dx%d", rapid.IntRange(0, 30).Draw(rt, "where"), made)})
			}
		}, "MaxResults", "1000")
		for id := range there {
			if seen[id] != 1 {
				rt.Errorf("%s was there all the time and listed %d times on %d pages: %v", id, seen[id], pages, slices.Sorted(maps.Keys(seen)))
			}
		}
		for id, n := range seen {
			if n > 1 {
				rt.Errorf("%s was listed %d times", id, n)
			}
		}
	})
}

// TestPageSizes: the page is the smaller one of both sizes.
func TestPageSizes(t *testing.T) {
	w := newWorld()
	w.volumes = volumes(41)
	for _, tt := range []struct {
		size  int
		param []string
		pages int
	}{{0, nil, 3}, {100, nil, 1}, {10, nil, 5}, {100, []string{"MaxResults", "5"}, 9}, {10, []string{"MaxResults", "1000"}, 5}, {41, nil, 1}} {
		s := wiretest.Serve(t, w, wire.Options{PageSize: tt.size})
		if seen, pages := turnPages(t, s.URL, func() {}, tt.param...); pages != tt.pages || len(seen) != 41 {
			t.Errorf("size %d, %v: %d volumes on %d pages, want %d pages", tt.size, tt.param, len(seen), pages, tt.pages)
		}
	}
}

// TestIDsHaveOnePage: things that are named come all at once, as no page of
// theirs could be asked for.
func TestIDsHaveOnePage(t *testing.T) {
	w := newWorld()
	w.volumes = volumes(41)
	params := []string{}
	for i := range 30 {
		params = append(params, "VolumeId."+itoa(i+1), w.volumes[i].ID)
	}
	if seen, pages := turnPages(t, unsigned(t, w).URL, func() {}, params...); pages != 1 || len(seen) != 30 {
		t.Errorf("%d volumes on %d pages", len(seen), pages)
	}
}

// TestTokensOfOthers: a token is good for the request and the server that gave it.
func TestTokensOfOthers(t *testing.T) {
	w := newWorld()
	w.volumes = volumes(41)
	s, other := unsigned(t, w), unsigned(t, w)
	_, body := post(t, s.URL, "Action", "DescribeVolumes")
	token := regexp.MustCompile(`<nextToken>([^<]*)<`).FindStringSubmatch(body)[1]
	for _, tt := range []struct {
		name, url string
		params    []string
		status    int
	}{
		{"same", s.URL, []string{"Action", "DescribeVolumes"}, 200},
		{"other size", s.URL, []string{"Action", "DescribeVolumes", "MaxResults", "5"}, 200},
		{"other action", s.URL, []string{"Action", "DescribeSnapshots"}, 400},
		{"other filter", s.URL, []string{"Action", "DescribeVolumes", "Filter.1.Name", "tag-key", "Filter.1.Value.1", "k"}, 400},
		{"other server", other.URL, []string{"Action", "DescribeVolumes"}, 400},
	} {
		if status, body := post(t, tt.url, append(tt.params, "NextToken", token)...); status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, status, body, tt.status)
		}
	}
	broken := []byte(token)
	broken[len(broken)-1] ^= 1
	if status, _ := post(t, s.URL, "Action", "DescribeVolumes", "NextToken", string(broken)); status != 400 {
		t.Errorf("a token with another last letter: %d", status)
	}
}
