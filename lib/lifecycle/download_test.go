package lifecycle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// archive is one image, as large as it is said to be.
func archive(t *testing.T, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	content := make([]byte, size) // that no packer makes smaller
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	if err := w.WriteHeader(&tar.Header{Name: "mac-1/disk", Mode: 0o644, Size: int64(size)}); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(content)
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// slow reads a kilobyte in the time that one takes.
type slow struct {
	*bytes.Reader
	each time.Duration
}

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(s.each)
	return s.Reader.Read(p[:min(len(p), 1<<10)])
}

// imageServer serves an archive within the bubble, so that it takes the time
// that it is told to.
type imageServer struct {
	archive []byte
	takes   time.Duration
	conns   chan net.Conn
	server  *http.Server
	served  sync.WaitGroup

	requests, ranges atomic.Int32
}

func newImageServer(t *testing.T, takes time.Duration) *imageServer {
	s := &imageServer{archive: archive(t, 1<<20), takes: takes, conns: make(chan net.Conn)}
	s.server = &http.Server{Handler: s} //nolint:gosec // of a test
	s.served.Go(func() { _ = s.server.Serve(pipes{s}) })
	return s
}

func (s *imageServer) stop() {
	_ = s.server.Close()
	s.served.Wait()
}

// ServeHTTP serves the archive, or what is wanted of it.
func (s *imageServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	if r.Header.Get("Range") != "" {
		s.ranges.Add(1)
	}
	w.Header().Set("Etag", `"1"`)
	w.Header().Set("Content-Type", "application/gzip")
	each := s.takes / time.Duration(len(s.archive)>>10)
	http.ServeContent(w, r, "", time.Time{}, slow{bytes.NewReader(s.archive), each})
}

// image is the label's option that names the archive.
func (s *imageServer) image() images.Image {
	return images.Image{URL: "http://images/mac-1.tar.gz", Sum: fmt.Sprintf("sha256:%x", sha256.Sum256(s.archive))}
}

// pipes is the listener of a server within a bubble.
type pipes struct{ *imageServer }

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p.conns
	if !ok {
		return nil, io.EOF
	}
	return conn, nil
}

func (p pipes) Close() error   { close(p.conns); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (s *imageServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case s.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// imaged is the scripted driver with images of a real cache: it makes nothing
// without them.
type imaged struct {
	*scripted
	cache *images.Cache
	image images.Image
}

var _ drivers.ImageManager = (*imaged)(nil)

func (d *imaged) Cached(model.LabelDefinition) bool { return d.cache.Have(d.image) }

func (d *imaged) Coming(model.LabelDefinition) bool { return d.cache.Coming(d.image) }

func (d *imaged) ListImages(context.Context) ([]drivers.ImageStatus, error) { return nil, nil }

func (d *imaged) PullImages(ctx context.Context, _ model.LabelDefinition) error {
	_, err := d.cache.Get(ctx, d.image)
	return err
}

func (d *imaged) RemoveImage(context.Context, string) error { return drivers.ErrImageUnknown }

func (d *imaged) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	if _, err := d.cache.Get(ctx, d.image); err != nil {
		return drivers.Environment{}, err
	}
	return d.scripted.Allocate(ctx, req)
}

// downloading runs a test of a node whose images come from a server that takes
// this long for one. open makes the cache of the next process.
func downloading(t *testing.T, takes time.Duration, test func(f *farm, s *imageServer, driver *imaged, open func())) {
	t.Helper()
	inBubble(t, func(t *testing.T, f *farm) {
		s := newImageServer(t, takes)
		defer s.stop()
		folder := t.TempDir()
		driver := &imaged{scripted: f.driver, image: s.image()}
		open := func() {
			var err error
			driver.cache, err = images.New(images.Options{
				Path: folder, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
				Client: &http.Client{Transport: &http.Transport{DialContext: s.dial}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		open()
		defer func() { _ = driver.cache.Close() }()
		f.options = func(mo *lifecycle.Options, eo *election.Options) {
			of := func(name string) (drivers.Driver, string) {
				if _, absent := f.driverOf(name); absent != "" {
					return nil, absent
				}
				return driver, ""
			}
			mo.Driver, eo.Driver = of, of
		}
		f.start()
		test(f, s, driver, open)
	})
}

// waitFor asks as clients do, every 5 s, until the application shows the status
// or the time is up.
func (f *farm) waitFor(app model.UID, status model.Status, patience time.Duration) bool {
	f.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Second) {
		if f.entry(app).Fold.Current.Status == status {
			return true
		}
	}
	return false
}

// TestImpatientClientGetsItsEnvironment: a download of 12 minutes, and a client
// that gives up after 5 and asks again. The download is not the application's:
// what was there stays, so that the third request is the last one.
func TestImpatientClientGetsItsEnvironment(t *testing.T) {
	downloading(t, 12*time.Minute, func(f *farm, s *imageServer, _ *imaged, _ func()) {
		label, began := f.label(), time.Now()
		for request := 1; ; request++ {
			app := f.apply(label)
			if f.waitFor(app, model.StatusAllocated, 5*time.Minute) {
				if request != 3 {
					f.t.Errorf("allocated on request %d, want 3", request)
				}
				f.recall(app)
				f.want(app, model.StatusDeallocated)
				break
			}
			f.want(app, model.StatusElected)
			if request == 3 {
				f.t.Fatalf("after %v and %d requests the client still has nothing", time.Since(began), request)
			}
			recalled := time.Now()
			f.recall(app)
			f.want(app, model.StatusDeallocated)
			if took := time.Since(recalled); took > time.Second {
				f.t.Errorf("the recall took %v", took)
			}
			f.wantNothingLeft()
		}
		if took := time.Since(began); took > 13*time.Minute {
			f.t.Errorf("it took %v for a download of 12 minutes", took)
		}
		if n := s.requests.Load(); n != 1 {
			f.t.Errorf("%d downloads for one image", n)
		}
		f.wantNothingLeft()
	})
}

// TestDownloadIsNoHangingDriver: one that takes longer than allocate_timeout,
// also over a restart of the node, which goes on where it was.
func TestDownloadIsNoHangingDriver(t *testing.T) {
	for _, restarts := range []int{0, 1, 3} {
		t.Run(fmt.Sprint(restarts, " restarts"), func(t *testing.T) {
			downloading(t, time.Hour, func(f *farm, s *imageServer, driver *imaged, open func()) { // allocate_timeout is 10m
				app, began := f.apply(f.label()), time.Now()
				for range restarts {
					f.waitFor(app, model.StatusAllocated, 14*time.Minute)
					f.want(app, model.StatusElected)
					f.stop()
					_ = driver.cache.Close()
					open()
					f.start()
				}
				if f.want(app, model.StatusElected); !f.manager.Fetching(app) || !f.manager.FetchedAt(app).IsZero() {
					f.t.Error("nobody is told that its images are fetched")
				}
				if !f.waitFor(app, model.StatusAllocated, time.Hour+2*time.Minute) {
					f.want(app, model.StatusAllocated)
				}
				if took := time.Since(began); took > time.Hour+5*time.Minute {
					f.t.Errorf("it took %v", took)
				}
				if n := s.ranges.Load(); n != int32(restarts) { //nolint:gosec // small
					f.t.Errorf("%d downloads were resumed, want one after each restart", n)
				}
				if at := f.manager.FetchedAt(app); time.Since(at) > time.Minute {
					f.t.Errorf("it was allocated just now, and its images were there at %v", at)
				}
				if f.manager.Fetching(app) {
					f.t.Error("its images are still fetched although it is allocated")
				}
			})
		})
	}
}

// TestRestartBeforeTheDriverIsThere: in the middle of a download that took longer
// than allocate_timeout already. A driver that does not come is still noticed.
func TestRestartBeforeTheDriverIsThere(t *testing.T) {
	for _, comes := range []bool{true, false} {
		t.Run(fmt.Sprint("it comes: ", comes), func(t *testing.T) {
			downloading(t, time.Hour, func(f *farm, _ *imageServer, driver *imaged, open func()) { // allocate_timeout is 10m
				app := f.apply(f.label())
				time.Sleep(30 * time.Minute)
				f.want(app, model.StatusElected)
				f.stop()
				_ = driver.cache.Close()
				open()
				f.script(func() { f.absent = "has no engine" })
				f.start()
				time.Sleep(9 * time.Minute)
				f.want(app, model.StatusElected)
				if comes {
					f.script(func() { f.absent = "" })
					f.manager.DriversChanged()
					time.Sleep(time.Minute)
					if trouble, ok := f.manager.Trouble(app); ok || !f.manager.Fetching(app) {
						f.t.Errorf("while its images are fetched the trouble is still %v", trouble)
					}
					time.Sleep(30 * time.Minute)
					f.want(app, model.StatusAllocated)
					return
				}
				time.Sleep(3 * time.Minute)
				if got := f.entry(app).OpenAllocations()[0].Failure; !strings.Contains(got, "allocate_timeout") {
					f.t.Errorf("the driver has been away for 12 minutes, and the failure is %q", got)
				}
				f.script(func() { f.absent = "" })
				f.manager.DriversChanged()
				time.Sleep(2 * time.Minute)
				f.want(app, model.StatusError)
			})
		})
	}
}

// TestAllocateTimeoutCountsFromTheImages: a driver that hangs is noticed within
// it, however long the download was.
func TestAllocateTimeoutCountsFromTheImages(t *testing.T) {
	downloading(t, 25*time.Minute, func(f *farm, _ *imageServer, _ *imaged, _ func()) {
		f.script(func() { f.driver.after = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } })
		app := f.apply(f.label())
		time.Sleep(30 * time.Minute)
		f.want(app, model.StatusElected)
		time.Sleep(6 * time.Minute)
		f.wantDescription(app, model.StatusError, "Driver allocate resource error:not done within allocate_timeout 10m0s")
		f.wantNothingLeft()
	})
}

// TestEnvironmentIsThereAndItsImageIsNot: an earlier process made it and was
// killed before it could say so; the image has been removed everywhere since.
func TestEnvironmentIsThereAndItsImageIsNot(t *testing.T) {
	for _, tt := range []error{errors.New("404 Not Found"), errNoAnswer} {
		t.Run(tt.Error(), func(t *testing.T) { environmentWithoutImage(t, tt) })
	}
}

func environmentWithoutImage(t *testing.T, tt error) {
	t.Helper()
	inBubble(t, func(_ *testing.T, f *farm) {
		driver := &failing{scripted: f.driver}
		f.options = func(mo *lifecycle.Options, eo *election.Options) {
			of := func(string) (drivers.Driver, string) { return *driver, "" }
			mo.Driver, eo.Driver = of, of
		}
		f.script(func() { f.driver.after = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } })
		f.start()
		app := f.apply(f.label())
		f.want(app, model.StatusElected)
		f.stop()
		f.script(func() { f.driver.after = nil })
		driver.err = tt
		f.start()
		f.want(app, model.StatusAllocated)
		if f.world.peak() != 1 {
			f.t.Errorf("%d environments were made", f.world.peak())
		}
	})
}

// errNoAnswer is what a connection to a server says that does not answer.
var errNoAnswer = fmt.Errorf("dial tcp: i/o timeout: %w", context.DeadlineExceeded)

// failing is a driver whose images never come, and that takes its time to say so.
type failing struct {
	*scripted
	err   error
	takes time.Duration
}

func (failing) Cached(model.LabelDefinition) bool                         { return false }
func (failing) Coming(model.LabelDefinition) bool                         { return false }
func (failing) ListImages(context.Context) ([]drivers.ImageStatus, error) { return nil, nil }
func (d failing) PullImages(context.Context, model.LabelDefinition) error {
	time.Sleep(d.takes)
	return d.err
}
func (failing) RemoveImage(context.Context, string) error { return nil }

// TestImagesThatCanNotBeHad: the application ends with the reason. A driver that
// says that all is there, and then that it is not, is not asked for ever.
func TestImagesThatCanNotBeHad(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		takes time.Duration
		want  model.Status
	}{
		{"fails", errors.New("404 Not Found"), 0, model.StatusError},
		{"no answer", errNoAnswer, time.Minute, model.StatusError},
		{"no answer, said after allocate_timeout", errNoAnswer, 11 * time.Minute, model.StatusError},
		{"never cached", nil, 0, model.StatusAllocated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(_ *testing.T, f *farm) {
				f.options = func(mo *lifecycle.Options, eo *election.Options) {
					of := func(string) (drivers.Driver, string) { return failing{f.driver, tt.err, tt.takes}, "" }
					mo.Driver, eo.Driver = of, of
				}
				f.start()
				app := f.apply(f.label())
				time.Sleep(tt.takes)
				f.want(app, tt.want)
				if tt.err != nil {
					f.wantDescription(app, tt.want, "Driver allocate resource error:"+tt.err.Error())
					f.wantNothingLeft()
				}
			})
		})
	}
}
