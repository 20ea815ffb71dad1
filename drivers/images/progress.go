package images

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// phase is what is being done for an image.
type phase int

const (
	waiting     phase = iota // for another process that works on it, or for the first byte
	downloading              // or reading the archive of a file:// URL
	unpacking
)

const (
	// logEvery and logStep are how often a line of the log tells how far a
	// download is, whichever comes first; logLeast keeps a fast one from filling it.
	logEvery = 30 * time.Second
	logStep  = 10 // percent
	logLeast = 2 * time.Second
	// leastUnpacked and usualUnpacked are how many times its own size a
	// compressed archive takes when it is unpacked: what it can hardly be below,
	// for which it is refused, and what is kept for it meanwhile.
	leastUnpacked = 1
	usualUnpacked = 3
)

// progress is how far an image has come. All of it is in memory.
type progress struct {
	log           *slog.Logger
	key, id       string
	name, version string
	source        string // without its query
	most          int64  // times the archive's size that it usually unpacks to

	mu      sync.Mutex // guards what is below
	phase   phase
	done    int64 // bytes of the archive
	total   int64 // 0: unknown
	checked int64 // bytes of it read again, since its sums were last begun with
	laid    int64 // bytes unpacked
	motion  Motion
	trouble string
	logged  time.Time
	percent int64 // when it was logged last
}

func newProgress(log *slog.Logger, p parsed, id string) *progress {
	s := &progress{log: log, key: p.key(), id: id, name: p.name, version: p.version, source: shown(p.url), most: usualUnpacked, logged: time.Now()}
	if strings.HasSuffix(p.url.Path, ".tar") {
		s.most = 1
	}
	return s
}

// enter begins a phase, and says so in the log.
func (s *progress) enter(to phase) {
	s.mu.Lock()
	changed := s.phase != to
	s.phase = to
	s.mu.Unlock()
	if changed && to == unpacking {
		s.log.Info("image is being unpacked", "image", s.source)
	}
}

// sized notes how large the archive is and how much of it is there.
func (s *progress) sized(done, total int64) {
	s.mu.Lock()
	first := s.phase == waiting
	s.phase, s.done, s.total = downloading, done, max(total, 0)
	s.percent = s.percentage()
	s.logged = time.Now()
	s.move(s.logged)
	s.mu.Unlock()
	if first {
		s.log.Info("image is being downloaded", "image", s.source, "bytes", done, "of", max(total, 0))
	}
}

// got notes that so many bytes of the archive are there.
func (s *progress) got(done int64) {
	now := time.Now()
	s.mu.Lock()
	s.done = done
	s.move(now)
	percent := s.percentage()
	due := logDue(now.Sub(s.logged), percent-s.percent)
	if due {
		s.logged, s.percent = now, percent
	}
	total := s.total
	s.mu.Unlock()
	if due {
		s.log.Info("image is being downloaded", "image", s.source, "bytes", done, "of", total, "percent", percent)
	}
}

// percentage is 0 while the whole is unknown. mu is held.
func (s *progress) percentage() int64 {
	if s.total <= 0 {
		return 0
	}
	return int64(float64(s.done) * 100 / float64(s.total))
}

// logDue says whether the log is told again, so long and so many percent after
// it was last.
func logDue(passed time.Duration, percent int64) bool {
	return passed >= logEvery || percent >= logStep && passed >= logLeast
}

// unpacked notes that so many bytes more were unpacked.
func (s *progress) unpacked(n int64) {
	now := time.Now()
	s.mu.Lock()
	s.laid += n
	s.move(now)
	s.mu.Unlock()
}

// failed notes why an attempt ended.
func (s *progress) failed(err error) {
	s.mu.Lock()
	s.trouble = err.Error()
	s.mu.Unlock()
}

// missing is what is still to be written for the image, if it unpacks to so
// many times the size of its archive.
func (s *progress) missing(unpacked int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == waiting || s.total <= 0 {
		return 0
	}
	return max(s.total-s.done, 0) + max(s.total*min(unpacked, s.most)-s.laid, 0)
}

// status is what there is to see.
func (s *progress) status() drivers.ImageStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := drivers.ImageDownloading
	if s.phase == unpacking {
		state = drivers.ImageUnpacking
	}
	return drivers.ImageStatus{
		ID: s.id, Name: s.name, Version: s.version, Source: s.source, State: state,
		Done: s.done, Total: s.total, InUse: true, Error: s.trouble,
	}
}
