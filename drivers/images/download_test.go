package images

import (
	"context"
	"crypto/md5"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const file = "/img-1.tar.gz"

func TestBrokenConnectionsAreResumed(t *testing.T) {
	body := imageArchive(t, "img", 1)
	s := newServer(t, false, map[string][]byte{file: body})
	s.meddle = func(w http.ResponseWriter, r *http.Request, n int) bool {
		switch {
		case n == 1:
			cut(w, body, 100_000)
		case n < 8: // each brings a little: more attempts than may be in vain
			w.Header().Set("ETag", `"`+sha(body)+`"`)
			var start int
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(body)-1, len(body)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(body[start : start+10_000])
			drop(w)
		}
		return false
	}
	for _, tt := range []struct{ name, sum string }{{"sum", sha(body)}, {"validator alone", ""}} {
		t.Run(tt.name, func(t *testing.T) {
			s.seen = nil
			laid := mustGet(t, newCache(t, Options{}), Image{URL: s.URL + file, Sum: tt.sum})
			if readFile(t, laid.Archive()) != noise(300_000, 1) {
				t.Error("content differs")
			}
			seen := s.requests()
			if len(seen) != 8 || seen[0].Range != "" || seen[7].Range == "" || seen[7].IfRange != `"`+sha(body)+`"` {
				t.Errorf("the server saw %+v", seen)
			}
		})
	}
}

// What can not be told from another archive is not put together.
func TestChangedArchiveStartsOver(t *testing.T) {
	was, is := imageArchive(t, "img", 1), imageArchive(t, "img", 2)
	for _, tt := range []struct {
		name       string
		sum        string
		second     func(w http.ResponseWriter, r *http.Request)
		wantRanges []string
	}{
		{"If-Range", "", nil, []string{"", "bytes=100000-"}},
		{"no validator", "", nil, []string{"", ""}},
		{"resumed whatever", sha(is), func(_ http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Range")
		}, []string{"", "bytes=100000-", ""}},
		{"other range", sha(is), func(_ http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=5-")
			r.Header.Del("If-Range")
		}, []string{"", "bytes=100000-", ""}},
		{"shorter now", sha(is), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes */50")
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		}, []string{"", "bytes=100000-", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, false, map[string][]byte{file: is})
			s.meddle = func(w http.ResponseWriter, r *http.Request, n int) bool {
				if n == 1 {
					w.Header().Set("Content-Length", fmt.Sprint(len(was)))
					if tt.name != "no validator" {
						w.Header().Set("ETag", `"was"`)
					}
					_, _ = w.Write(was[:100_000])
					drop(w)
				}
				if n == 2 && tt.second != nil {
					w.Header().Set("ETag", `"was"`)
					tt.second(w, r)
				}
				return n == 2 && tt.name == "shorter now"
			}
			laid := mustGet(t, newCache(t, Options{}), Image{URL: s.URL + file, Sum: tt.sum})
			if readFile(t, laid.Archive()) != noise(300_000, 2) {
				t.Error("content is mixed or old")
			}
			var ranges []string
			for _, a := range s.requests() {
				ranges = append(ranges, a.Range)
			}
			if diff := cmp.Diff(tt.wantRanges, ranges); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestServerTrouble(t *testing.T) {
	body := imageArchive(t, "img", 1)
	for _, tt := range []struct {
		name     string
		answer   func(w http.ResponseWriter, n int) bool
		want     string // part of the error; "" succeeds
		requests int
	}{
		{"busy twice", func(w http.ResponseWriter, n int) bool { return n < 3 && status(w, 503) }, "", 3},
		{"too many once", func(w http.ResponseWriter, n int) bool { return n < 2 && status(w, 429) }, "", 2},
		{"busy always", func(w http.ResponseWriter, _ int) bool { return status(w, 503) }, "503", 3},
		{"missing", func(w http.ResponseWriter, _ int) bool { return status(w, 404) }, "404", 1},
		{"no right", func(w http.ResponseWriter, _ int) bool { return status(w, 401) }, "download_user", 1},
		{"dropped", func(w http.ResponseWriter, _ int) bool { drop(w); return true }, "EOF", 3},
		{"cut always", func(w http.ResponseWriter, _ int) bool { cut(w, body, 0); return true }, "EOF", 3},
		{"stated sum", func(w http.ResponseWriter, _ int) bool {
			w.Header().Set("X-Checksum-Sha256", strings.Repeat("0", 64))
			return false
		}, "the server sha256:000", 1},
		{"stated md5 of other bytes", func(w http.ResponseWriter, _ int) bool {
			w.Header().Set("X-Checksum-Md5", strings.Repeat("0", 32))
			return false
		}, "X-Checksum", 1},
		{"all stated rightly", func(w http.ResponseWriter, _ int) bool {
			m := md5.Sum(body)
			w.Header().Set("X-Checksum-Md5", hex.EncodeToString(m[:]))
			w.Header().Set("X-Checksum-Sha256", strings.ToUpper(strings.TrimPrefix(sha(body), "sha256:")))
			w.Header().Set("X-Checksum-Sha1", "nonsense")
			return false
		}, "", 1},
		{"too large", func(w http.ResponseWriter, _ int) bool {
			w.Header().Set("Content-Length", "2000000")
			return true
		}, "at most 1000000", 1},
		{"too large unsaid", func(w http.ResponseWriter, _ int) bool {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(make([]byte, 1_500_000))
			return true
		}, "allowed 1000000", 1},
		{"more than said is not taken for whole", func(w http.ResponseWriter, _ int) bool {
			_, _ = w.Write([]byte("<html>log in</html>"))
			return true
		}, "sum does not match", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, false, map[string][]byte{file: body})
			s.meddle = func(w http.ResponseWriter, _ *http.Request, n int) bool { return tt.answer(w, n) }
			limits := quick()
			limits.MaxArchive = 1_000_000
			c := newCache(t, Options{Limits: limits})
			image := Image{URL: s.URL + file, Sum: sha(body)}
			if tt.want == "" {
				mustGet(t, c, image)
			} else {
				_, err := c.Get(deadline(t), image)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Get = %v, want an error with %q", err, tt.want)
				}
			}
			if n := len(s.requests()); n != tt.requests {
				t.Errorf("the server was asked %d times, want %d", n, tt.requests)
			}
		})
	}
}

func status(w http.ResponseWriter, code int) bool {
	w.WriteHeader(code)
	return true
}

func TestWrongSum(t *testing.T) {
	body := imageArchive(t, "img", 1)
	s := newServer(t, false, map[string][]byte{file: body})
	c := newCache(t, Options{})
	h := sha512.Sum512(body)
	for _, want := range []string{sha(nil), "sha512:" + strings.Repeat("0", 128), "md5:" + strings.Repeat("0", 32), "sha1:" + strings.Repeat("0", 40)} {
		wantRefusal(t, c, Image{URL: s.URL + file, Sum: want}, "sum does not match")
	}
	mustGet(t, c, Image{URL: s.URL + file, Sum: "sha512:" + hex.EncodeToString(h[:])})
}

func TestStall(t *testing.T) {
	body := imageArchive(t, "img", 1)
	s := newServer(t, false, map[string][]byte{file: body})
	s.meddle = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n > 2 {
			return false
		}
		if n == 2 { // in the middle; the first one never answers at all
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			_, _ = w.Write(body[:1000])
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		return true
	}
	limits := quick()
	limits.Stall = 100 * time.Millisecond
	mustGet(t, newCache(t, Options{Limits: limits}), Image{URL: s.URL + file, Sum: sha(body)})
	if n := len(s.requests()); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

// A server that drips for ever ends at the limit, and what it gave is kept.
func TestTotal(t *testing.T) {
	body := imageArchive(t, "img", 1)
	s := newServer(t, false, nil)
	s.meddle = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		for i := 0; i < len(body) && r.Context().Err() == nil; i++ {
			_, _ = w.Write(body[i : i+1])
			_ = http.NewResponseController(w).Flush()
			_ = pause(r.Context(), 10*time.Millisecond)
		}
		return true
	}
	limits := quick()
	limits.Total = 200 * time.Millisecond
	c := newCache(t, Options{Limits: limits})
	image := Image{URL: s.URL + file, Sum: sha(body)}
	if _, err := c.Get(deadline(t), image); err == nil || !strings.Contains(err.Error(), "longer than 200ms") {
		t.Errorf("Get = %v", err)
	}
	if partSize(c, image) == 0 {
		t.Error("the part is gone")
	}
}

func TestMirrors(t *testing.T) {
	body := imageArchive(t, "img", 1)
	origin := newServer(t, false, map[string][]byte{"/a" + file: body})
	broken := newServer(t, false, map[string][]byte{"/m" + file: imageArchive(t, "img", 9)})
	missing := newServer(t, false, nil)
	good := newServer(t, false, map[string][]byte{"/m" + file: body})
	image := Image{URL: origin.URL + "/a" + file, Sum: sha(body)}
	to := func(prefixes ...string) Options {
		return Options{Mirrors: []Mirror{{From: "http://elsewhere/", To: []string{"http://127.0.0.1:1/"}}, {From: origin.URL + "/a", To: prefixes}}}
	}
	for _, tt := range []struct {
		name string
		opts Options
		want [4]int // requests: missing, broken, good, origin
	}{
		{"in order", to(missing.URL, broken.URL+"/m", good.URL+"/m"), [4]int{1, 1, 1, 0}},
		{"first is good", to(good.URL+"/m", missing.URL), [4]int{0, 0, 1, 0}},
		{"origin last", to(missing.URL, "http://127.0.0.1:1"), [4]int{1, 0, 0, 1}},
		{"no prefix of another host", Options{Mirrors: []Mirror{{From: "http://127.0.0.1", To: []string{missing.URL}}}}, [4]int{0, 0, 0, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			servers := []*server{missing, broken, good, origin}
			for _, s := range servers {
				s.seen = nil
			}
			laid := mustGet(t, newCache(t, tt.opts), image)
			if readFile(t, laid.Archive()) != noise(300_000, 1) {
				t.Error("content differs")
			}
			var got [4]int
			for i, s := range servers {
				got[i] = len(s.requests())
			}
			if got != tt.want {
				t.Errorf("requests are %v, want %v", got, tt.want)
			}
		})
	}
	c := newCache(t, to(missing.URL, broken.URL+"/m"))
	wantRefusal(t, c, Image{URL: origin.URL + "/a" + file, Sum: sha(nil)}, "no source serves it: "+missing.URL)
}

func TestCredentials(t *testing.T) {
	body := imageArchive(t, "img", 1)
	files := map[string][]byte{file: body}
	secure, insecure, other := newServer(t, true, files), newServer(t, false, files), newServer(t, true, files)
	to := func(s *server, path string) func(http.ResponseWriter, *http.Request, int) bool {
		return func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.URL.Path != "/go"+file {
				return false
			}
			http.Redirect(w, r, s.URL+path, http.StatusFound)
			return true
		}
	}
	for _, tt := range []struct {
		name     string
		url      string
		redirect *server // of secure, for /go
		ends     *server
		user     string // that the last request had
	}{
		{"https", secure.URL + file, nil, secure, "me"},
		{"http", insecure.URL + file, nil, insecure, ""},
		{"redirect to itself", secure.URL + "/go" + file, secure, secure, "me"},
		{"redirect to another host", secure.URL + "/go" + file, other, other, ""},
		{"redirect to http", secure.URL + "/go" + file, insecure, insecure, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.redirect != nil {
				secure.meddle = to(tt.redirect, file)
			}
			secure.seen, insecure.seen, other.seen = nil, nil, nil
			c := newCache(t, Options{User: "me", Password: "secret", Client: secure.Client()})
			mustGet(t, c, Image{URL: tt.url, Sum: sha(body)})
			seen := tt.ends.requests()
			last := seen[len(seen)-1]
			if last.User != tt.user || (last.Password != "") != (tt.user != "") {
				t.Errorf("the last server was told %+v, want the user %q", last, tt.user)
			}
			if tt.redirect != nil && secure.requests()[0].User != "me" {
				t.Error("the first server was told nothing")
			}
		})
	}
}

// A subdomain is another host, though the standard library thinks otherwise;
// and back from another host the credentials do not come.
func TestRedirectRules(t *testing.T) {
	c := newCache(t, Options{User: "me", Password: "secret"})
	ask := func(url string) *http.Request {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Basic from the client")
		return r
	}
	for _, tt := range []struct {
		from, to string
		want     bool
	}{
		{"https://host/a", "https://host/b", true},
		{"https://host/a", "https://cdn.host/b", false},
		{"https://host/a", "https://host:444/b", false},
		{"https://host/a", "http://host/b", false},
		{"http://host/a", "https://host/b", false},
		{"http://host/a", "http://host/b", false},
	} {
		req := ask(tt.to)
		if err := c.redirect(req, []*http.Request{ask(tt.from)}); err != nil {
			t.Errorf("redirect %s to %s = %v", tt.from, tt.to, err)
		}
		user, _, ok := req.BasicAuth()
		if ok != tt.want || ok && user != "me" {
			t.Errorf("redirect %s to %s sends %v, want %v", tt.from, tt.to, ok, tt.want)
		}
	}
	if err := c.redirect(ask("https://a:b@host/"), []*http.Request{ask("https://host/")}); err == nil {
		t.Error("a redirect with a user is followed")
	}
	if err := c.redirect(ask("https://host/"), make([]*http.Request, maxRedirects+1)); err == nil {
		t.Error("redirects are followed for ever")
	}
}

func TestUntrustedCertificate(t *testing.T) {
	s := newServer(t, true, map[string][]byte{file: imageArchive(t, "img", 1)})
	c := newCache(t, Options{User: "me", Password: "secret"})
	wantRefusal(t, c, Image{URL: s.URL + file}, "certificate")
	if len(s.requests()) > 0 {
		t.Error("a server that is not trusted was asked")
	}
}

// A URL's query may be what gives access: it is in no error.
func TestErrorsHideTheQuery(t *testing.T) {
	s := newServer(t, false, nil)
	s.meddle = func(w http.ResponseWriter, _ *http.Request, _ int) bool { drop(w); return true }
	_, err := newCache(t, Options{}).Get(deadline(t), Image{URL: s.URL + file + "?X-Amz-Signature=secret"})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Get = %v", err)
	}
}

func TestDiskFull(t *testing.T) {
	body := imageArchive(t, "img", 1)
	s := newServer(t, false, map[string][]byte{file: body})
	for _, tt := range []struct {
		name string
		free []int64 // at each look; the last stays
		want string
	}{
		{"before the download", []int64{int64(len(body))}, "needs"},
		{"before it is unpacked", []int64{1 << 40, 0}, "stay free"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limits := quick()
			limits.MinFree = 1000
			c := newCache(t, Options{Limits: limits})
			looks := 0
			c.room = func(string) (int64, error) {
				looks++
				return tt.free[min(looks, len(tt.free))-1], nil
			}
			image := Image{URL: s.URL + file, Sum: sha(body)}
			wantRefusal(t, c, image, "no room left on the disk")
			_, err := c.Get(deadline(t), image)
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
		})
	}
	if !diskFull(fmt.Errorf("write: %w", syscall.ENOSPC)) || diskFull(errors.New("other")) {
		t.Error("the system's error for a full disk is not known")
	}
}

// TestDecoderThatPanics: the flight is a goroutine of its own, so what panics
// in it on a hostile archive would take the node along, and again at each
// start.
func TestDecoderThatPanics(t *testing.T) {
	body := imageArchive(t, "img", 1)
	s := newServer(t, false, map[string][]byte{file: body})
	c := newCache(t, Options{Limits: quick()})
	looks := 0
	c.room = func(string) (int64, error) {
		if looks++; looks > 1 { // the first is before the download
			panic("index out of range")
		}
		return 1 << 40, nil
	}
	image := Image{URL: s.URL + file, Sum: sha(body)}
	if _, err := c.Get(deadline(t), image); !errors.Is(err, errArchive) || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("error is %v, want a bad archive and what broke", err)
	}
	if left, err := os.ReadDir(c.work("", "")); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	c.room = func(string) (int64, error) { return 1 << 40, nil }
	if _, err := c.Get(deadline(t), image); err != nil {
		t.Errorf("the next time: %v", err)
	}
}

func TestBackoff(t *testing.T) {
	for failed, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 6: time.Minute, 1000: time.Minute} {
		if got := backoff(time.Second, failed); got != want {
			t.Errorf("backoff(1s, %d) = %v, want %v", failed, got, want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrClosed)
	if err := pause(ctx, time.Hour); !errors.Is(err, ErrClosed) {
		t.Errorf("pause = %v, want why it ended", err)
	}
}
