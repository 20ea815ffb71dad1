package election_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// website has the image that all labels name: it takes its time for one.
type website struct {
	archive []byte
	takes   time.Duration
	stuck   bool // it sends no more after a twelfth

	asked atomic.Int32
}

func newWebsite(t *testing.T, takes time.Duration) *website {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "mac-1/disk", Mode: 0o644, Size: 1 << 18})
	_, werr := w.Write(make([]byte, 1<<18))
	if err := errors.Join(err, werr, w.Close()); err != nil {
		t.Fatal(err)
	}
	return &website{archive: b.Bytes(), takes: takes}
}

func (w *website) image() images.Image {
	return images.Image{URL: "http://images/mac-1.tar", Sum: fmt.Sprintf("sha256:%x", sha256.Sum256(w.archive))}
}

// RoundTrip implements http.RoundTripper.
func (w *website) RoundTrip(r *http.Request) (*http.Response, error) {
	w.asked.Add(1)
	const pieces = 120
	body := &slowly{ctx: r.Context(), left: w.archive, each: len(w.archive)/pieces + 1, takes: w.takes / pieces}
	if w.stuck {
		body.left, body.hangs = w.archive[:len(w.archive)/12], true
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: int64(len(w.archive)), Body: io.NopCloser(body), Request: r}, nil
}

// slowly is a body that comes in pieces.
type slowly struct {
	ctx   context.Context
	left  []byte
	each  int
	takes time.Duration // for a piece
	hangs bool          // at the end
}

func (s *slowly) Read(p []byte) (int, error) {
	next := time.After(s.takes)
	switch {
	case len(s.left) == 0 && s.hangs:
		next = nil
	case len(s.left) == 0:
		return 0, io.EOF
	}
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-next:
	}
	n := copy(p, s.left[:min(s.each, len(s.left))])
	s.left = s.left[n:]
	return n, nil
}

// stocked is a node's driver with the images of a real cache.
type stocked struct {
	*host
	*images.Manager
}

// Cached implements drivers.ImageHolder.
func (s stocked) Cached(def model.LabelDefinition) bool { return s.Manager.Cached(def) }

// stock gives all nodes of the farm caches of images from the website.
func (h *hub) stock(from func(node int) *website) (all []stocked) {
	h.t.Helper()
	for i, n := range h.nodes {
		w := from(i)
		cache, err := images.New(images.Options{
			Path: h.t.TempDir(), Logger: slog.New(slog.DiscardHandler), Client: &http.Client{Transport: w},
		})
		if err != nil {
			h.t.Fatal(err)
		}
		h.closers = append(h.closers, cache)
		driver := stocked{n.host, images.NewManager(cache, func(model.LabelDefinition) ([]images.Image, error) {
			return []images.Image{w.image()}, nil
		})}
		all = append(all, driver)
		h.restart(i, func(e *election.Options, l *lifecycle.Options) {
			of := func(string) (drivers.Driver, string) { return driver, "" }
			e.Driver, l.Driver = of, of
		})
	}
	time.Sleep(time.Second)
	return all
}

// winner is the node that an application is granted to.
func (h *hub) winner(app model.UID) int {
	h.t.Helper()
	h.nodes[0].want(app, model.StatusElected, 10*time.Second)
	for i, n := range h.nodes {
		if h.nodes[0].entry(app).Fold.Grant.Decision.Winner == n.uid {
			return i
		}
	}
	return -1
}

// giveUp recalls an application, and waits until all nodes know that it ended.
func (h *hub) giveUp(app model.UID) {
	h.t.Helper()
	h.nodes[0].recall(app)
	h.wantOver(app, time.Second)
}

// TestNodeThatPulledIsChosen: what one node has fetched for an application
// counts in the next election, on all nodes alike, although that node has the
// higher load by then.
func TestNodeThatPulledIsChosen(t *testing.T) {
	inHub(t, 3, func(t *testing.T, h *hub) {
		web := newWebsite(t, time.Minute)
		stocks := h.stock(func(int) *website { return web })
		h.nodes[0].take(1)
		h.nodes[1].take(1)
		label := h.label(definition(1, 1, ""))
		for range 3 {
			app := h.nodes[0].db.create(label)
			h.nodes[0].want(app, model.StatusAllocated, 2*time.Minute)
			if got := h.executor(app); got != 2 {
				t.Errorf("node %d runs it, want 2, the least loaded one and then the one with the image: %+v", got, h.nodes[0].entry(app).Fold.Grant.Decision)
			}
		}
		for i, s := range stocks {
			if s.Cached(model.LabelDefinition{}) != (i == 2) {
				t.Errorf("node %d has its images: %v", i, i != 2)
			}
		}
	})
}

// TestImpatientClientOfAFarm: a download of 12 minutes and a client that gives
// up after 5 and asks again. Of many nodes that are alike the one is chosen each
// time at which the download is under way, so that the third request is the last.
func TestImpatientClientOfAFarm(t *testing.T) {
	for _, nodes := range []int{1, 2, 3, 7} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			inHub(t, nodes, func(t *testing.T, h *hub) {
				web := newWebsite(t, 12*time.Minute)
				h.stock(func(int) *website { return web })
				label := h.label(definition(1, 1, ""))
				for request := 1; ; request++ {
					app := h.nodes[0].db.create(label)
					for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); {
						if time.Sleep(5 * time.Second); h.nodes[0].status(app) == model.StatusAllocated {
							if n := web.asked.Load(); n != 1 {
								t.Errorf("%d downloads for one client", n)
							}
							return
						}
					}
					if request == 3 {
						t.Fatalf("nothing after %d requests and %d downloads: %+v", request, web.asked.Load(), h.nodes[0].entry(app).States)
					}
					h.giveUp(app)
				}
			})
		})
	}
}

// TestDownloadUnderWayIsWorthItsNode: a node that fetches the image is chosen
// although it has more to do than others; but not for a download that stands
// still.
func TestDownloadUnderWayIsWorthItsNode(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		t.Run(fmt.Sprint("stuck ", stuck), func(t *testing.T) {
			inHub(t, 3, func(t *testing.T, h *hub) {
				web, other := newWebsite(t, 12*time.Minute), newWebsite(t, 12*time.Minute)
				other.stuck = stuck
				h.stock(func(node int) *website {
					if node == 2 {
						return other
					}
					return web
				})
				h.nodes[0].take(4)
				h.nodes[1].take(4)
				label := h.label(definition(1, 1, ""))
				app := h.nodes[0].db.create(label)
				if got := h.winner(app); got != 2 {
					t.Fatalf("node %d is to run it, want 2, which alone has room", got)
				}
				time.Sleep(5 * time.Minute)
				h.giveUp(app)
				h.nodes[0].free()
				h.nodes[1].free()
				h.nodes[2].take(1)
				app = h.nodes[0].db.create(label)
				if got := h.winner(app); (got == 2) == stuck {
					t.Errorf("node %d is to run it: %+v", got, h.nodes[0].entry(app).Fold.Grant.Decision)
				}
			})
		})
	}
}
