package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// dripMinutes is how long a body takes from a dripping server.
const dripMinutes = 12

// dripping is a server within the bubble. Each answer is as the script says for
// the n-th request; the last line stands for all further ones.
type dripping struct {
	body   []byte
	script []dripped
	asked  int
}

type dripped struct {
	resumes bool   // it serves ranges
	minutes int    // so much comes
	then    string // "ends" or "hangs"; "" where all comes
	wrong   bool   // the bytes are others
}

func (d *dripping) RoundTrip(r *http.Request) (*http.Response, error) {
	line := d.script[min(d.asked, len(d.script)-1)]
	d.asked++
	resp := &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{"Etag": {`"1"`}}, ContentLength: int64(len(d.body)), Request: r}
	body, from := d.body, 0
	if line.wrong {
		body = bytes.ToUpper(body)
	}
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && line.resumes {
		resp.StatusCode, resp.Status = http.StatusPartialContent, "206 Partial Content"
		resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
		resp.ContentLength = int64(len(body) - from)
	} else {
		from = 0
	}
	end := len(body)
	if line.then != "" {
		end = min(end, from+len(body)*line.minutes/dripMinutes)
	}
	resp.Body = io.NopCloser(&drops{ctx: r.Context(), left: body[from:end], each: len(body)/(dripMinutes*6) + 1, hangs: line.then == "hangs"})
	return resp, nil
}

// drops is a body of which some comes every 10 s.
type drops struct {
	ctx   context.Context
	left  []byte
	each  int
	hangs bool
}

func (d *drops) Read(p []byte) (int, error) {
	if len(d.left) == 0 && d.hangs {
		<-d.ctx.Done()
		return 0, d.ctx.Err()
	}
	if len(d.left) == 0 {
		return 0, io.EOF
	}
	if err := pause(d.ctx, 10*time.Second); err != nil {
		return 0, err
	}
	n := copy(p, d.left[:min(d.each, len(d.left))])
	d.left = d.left[n:]
	return n, nil
}

// dripInto opens a cache whose images all come from the server.
func dripInto(t *testing.T, path string, from *dripping) *Cache {
	t.Helper()
	limits := DefaultLimits()
	limits.MinFree = 1
	c, err := New(Options{Path: path, Limits: limits, Logger: slog.New(slog.DiscardHandler), Client: &http.Client{Transport: from}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestComing: what is on its way is told for as long as it brings something new,
// whoever still waits for it.
func TestComing(t *testing.T) {
	healthy, nothing := dripped{resumes: true}, dripped{resumes: true, then: "ends"}
	for _, tt := range []struct {
		name   string
		script []dripped
		want   string // each minute: it comes, does not, or is there
		again  string // after it failed and was asked for again
	}{
		{"all of it", []dripped{healthy}, "++++++++++++*", ""},
		{"resumed at once", []dripped{{resumes: true, minutes: 5, then: "ends"}, healthy}, "++++++++++++*", ""},
		{"stands still", []dripped{{minutes: 3, then: "hangs"}, {resumes: true, then: "hangs"}}, "++++------x", "--"},
		{"stands still, and comes on", []dripped{{minutes: 3, then: "hangs"}, healthy}, "+++++++++++++*", ""},
		{"begins anew each time", []dripped{{minutes: 3, then: "ends"}}, "++++---------------x", "-----"},
		{"begins anew, and gets further", []dripped{{minutes: 3, then: "ends"}, {minutes: 3, then: "ends"}, healthy}, "++++--+++++++++*", ""},
		{"begins anew, and whole", []dripped{{minutes: 3, then: "ends"}, {}}, "++++--+++++++++*", ""},
		{"has wrong bytes each time", []dripped{{wrong: true}}, "++++++++++++x", "------------x"},
		{"fails, and gets further when it is asked for again", []dripped{
			{minutes: 3, then: "ends"}, nothing, nothing, nothing, nothing, nothing, healthy,
		}, "++++x", "+++++++++*"},
		{"has nothing", []dripped{nothing}, "-x", "-x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := t.TempDir()
			body := tarOf(t, member{name: "img-1/img.tar", body: strings.Repeat("abcdefgh", 1<<16)})
			synctest.Test(t, func(t *testing.T) {
				c := dripInto(t, path, &dripping{body: body, script: tt.script})
				defer c.Close()
				image := Image{URL: "http://images.example/img-1.tar", Sum: sha(body)}
				if c.Coming(image) {
					t.Error("it comes, and nobody asked for it")
				}
				if got := minutes(t, c, image, len(tt.want)); got != tt.want {
					t.Errorf("each minute: %s, want %s", got, tt.want)
				}
				if got := minutes(t, c, image, len(tt.again)); got != tt.again {
					t.Errorf("asked for again: %s, want %s", got, tt.again)
				}
			})
		})
	}
}

// minutes asks for an image, without patience, and tells in the middle of each
// minute how it is.
func minutes(t *testing.T, c *Cache, image Image, n int) string {
	t.Helper()
	if n == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := c.Get(ctx, image)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return "x"
	}
	var told strings.Builder
	for range n {
		time.Sleep(30 * time.Second)
		synctest.Wait()
		c.mu.Lock()
		flies := len(c.flights) > 0
		c.mu.Unlock()
		switch {
		case c.Have(image):
			told.WriteByte('*')
		case c.Coming(image):
			told.WriteByte('+')
		case flies:
			told.WriteByte('-')
		default:
			told.WriteByte('x')
		}
		time.Sleep(30 * time.Second)
	}
	return told.String()
}

// TestComingOfSeveral: a definition's images are on their way where none of them
// is neither there nor coming. When they are there the next vote says so, also
// if nobody waited for them any more.
func TestComingOfSeveral(t *testing.T) {
	path := t.TempDir()
	body := tarOf(t, member{name: "img-1/img.tar", body: strings.Repeat("abcdefgh", 1<<16)})
	synctest.Test(t, func(t *testing.T) {
		c := dripInto(t, path, &dripping{body: body, script: []dripped{{resumes: true}}})
		defer c.Close()
		all := []Image{
			{URL: "http://images.example/first-1.tar", Name: "img", Version: "1", Sum: sha(body)},
			{URL: "http://images.example/second-1.tar", Name: "img", Version: "2", Sum: sha(body)},
		}
		list := all
		m := NewManager(c, func(model.LabelDefinition) ([]Image, error) { return list, nil })
		want := func(when string, cached, coming bool) {
			t.Helper()
			if got := m.Cached(model.LabelDefinition{}); got != cached {
				t.Errorf("%s: Cached() = %v", when, got)
			}
			if got := m.Coming(model.LabelDefinition{}); got != coming {
				t.Errorf("%s: Coming() = %v", when, got)
			}
		}
		// ask waits for the images of the list, for a moment, and returns shortly
		// before they are there.
		ask := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if err := m.PullImages(ctx, model.LabelDefinition{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("PullImages = %v", err)
			}
			time.Sleep(dripMinutes*time.Minute - 20*time.Second)
		}
		want("nobody asked", false, false)
		list = all[:1]
		ask()
		want("one of one comes", false, true)
		list = all
		want("the second was not asked for", false, false)
		time.Sleep(time.Minute)
		synctest.Wait()
		list = all[:1]
		want("it is there, and nobody waited", true, false)
		list = all
		want("only the first is there", false, false)
		ask()
		want("the second comes", false, true)
		list = nil
		want("what needs no image", true, false)
		m.read = func(model.LabelDefinition) ([]Image, error) { return nil, errors.New("unreadable") }
		want("what can not be read", false, false)
		m.read = func(model.LabelDefinition) ([]Image, error) { return all, nil }
		time.Sleep(25 * time.Second) // less than a look counts
		synctest.Wait()
		want("all are there", true, false)
	})
}

// TestAllWorkOnAnImageMovesIt: also that which brings no byte of it, once.
func TestAllWorkOnAnImageMovesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		see := newProgress(slog.New(slog.DiscardHandler), parsed{url: &url.URL{}}, "img-1")
		check := func() { _, _ = io.Copy(io.Discard, see.checking(strings.NewReader("0123456789"))) }
		for _, step := range []struct {
			name  string
			do    func()
			moves bool
		}{
			{"nothing yet", func() {}, false},
			{"no byte of it", func() { see.sized(0, 10) }, false},
			{"a download", func() { see.got(10) }, true},
			{"no more of it", func() { see.got(10) }, false},
			{"its sums", check, true},
			{"its sums, again", check, false},
			{"unpacking", func() { see.enter(unpacking); see.unpacked(1) }, true},
			{"an attempt that failed", func() { see.failed(io.ErrUnexpectedEOF) }, false},
			{"the next one", func() { see.motion = see.motion.After(); see.unpacked(0) }, false},
			{"and further", func() { see.unpacked(1) }, true},
		} {
			step.do()
			if got := see.moves(time.Now()); got != step.moves {
				t.Errorf("%s: it moves: %v", step.name, got)
			}
			time.Sleep(stillAfter)
		}
	})
}
