package images

import (
	"io"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// stillAfter is how long nothing new may come of an image that still counts as
// being on its way: as long as a server may send nothing.
const stillAfter = time.Minute

// Motion is when something last got further than it ever was. What it had once,
// and lost, is not new: a download that breaks off and begins anew each time
// moves, and gets nowhere. The zero Motion never moved.
type Motion struct {
	best int64
	at   time.Time
}

// Reach notes how far it is now.
func (m *Motion) Reach(now time.Time, far int64) {
	if far > m.best {
		m.best, m.at = far, now
	}
}

// Lately reports whether it got further within the last minute.
func (m *Motion) Lately(now time.Time) bool { return !m.at.IsZero() && now.Sub(m.at) < stillAfter }

// After is the motion of the next attempt at what this one did not bring about:
// it has to get further than that.
func (m *Motion) After() Motion { return Motion{best: m.best} }

// Coming says whether the image is on its way in this process and gets further:
// see drivers.ImageManager. It answers from memory.
func (c *Cache) Coming(image Image) bool {
	p, err := image.parse()
	if err != nil {
		return false
	}
	c.mu.Lock()
	f := c.flights[p.key()]
	c.mu.Unlock()
	return f != nil && f.see.moves(time.Now())
}

// afterFailure is the motion of a new attempt at the image. mu is held.
func (c *Cache) afterFailure(key string, now time.Time) Motion {
	for _, f := range c.failures {
		if f.key == key && now.Sub(f.at) <= failureAge {
			return f.motion.After()
		}
	}
	return Motion{}
}

// landings is how many images have come.
func (c *Cache) landings() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.landed
}

// moves reports whether the image gets further.
func (s *progress) moves(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.motion.Lately(now)
}

// lastMotion is how far it got.
func (s *progress) lastMotion() Motion {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.motion
}

// move notes how far it is: what was downloaded, read again and unpacked. mu is
// held.
func (s *progress) move(now time.Time) { s.motion.Reach(now, s.done+s.checked+s.laid) }

// checking is a reader of the archive for the one who checks its sums, which
// takes minutes for a large one.
func (s *progress) checking(r io.Reader) io.Reader {
	s.unchecked()
	return &checked{r, s}
}

// unchecked takes back what was checked.
func (s *progress) unchecked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked = 0
}

type checked struct {
	io.Reader
	see *progress
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	now := time.Now()
	c.see.mu.Lock()
	defer c.see.mu.Unlock()
	c.see.checked += int64(n)
	c.see.move(now)
	return n, err
}

// Coming implements drivers.ImageManager.
func (m *Manager) Coming(def model.LabelDefinition) bool {
	list, err := m.read(def)
	if err != nil {
		return false
	}
	some := false
	for _, image := range list {
		coming := m.cache.Coming(image)
		if !coming && !m.remembers(image) {
			return false
		}
		some = some || coming
	}
	return some
}

// remembers reports whether the image was there when it was last looked for.
func (m *Manager) remembers(image Image) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.looked[image]
	return known != nil && known.there
}
