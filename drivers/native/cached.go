package native

import (
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// lookEvery is how long an answer about an image counts. Somebody may remove
// it by hand, or another node on this machine get it.
const lookEvery = 30 * time.Second

// mostLooked bounds the answers that are remembered.
const mostLooked = 1000

// cached remembers which images are there, so that a vote costs no look at
// the disk.
type cached struct {
	have func(images.Image) bool

	mu     sync.Mutex
	looked map[images.Image]look // guarded by mu
}

type look struct {
	there bool
	at    time.Time
}

func newCached(have func(images.Image) bool) *cached {
	return &cached{have: have, looked: map[images.Image]look{}}
}

// all reports whether all images are there.
func (c *cached) all(list []images.Image) bool {
	for _, image := range list {
		if !c.one(image, time.Now()) {
			return false
		}
	}
	return true
}

func (c *cached) one(image images.Image, now time.Time) bool {
	c.mu.Lock()
	known, ok := c.looked[image]
	c.mu.Unlock()
	if ok && now.Sub(known.at) < lookEvery {
		return known.there
	}
	there := c.have(image)
	c.learn(image, there, now)
	return there
}

// learn notes what is known of an image now.
func (c *cached) learn(image images.Image, there bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.looked) >= mostLooked {
		clear(c.looked)
	}
	c.looked[image] = look{there: there, at: now}
}

// Cached implements drivers.ImageHolder. What needs no image lacks none.
func (d *driver) Cached(def model.LabelDefinition) bool {
	o, err := readOptions(def)
	return err == nil && d.cached.all(o.images)
}

var _ drivers.ImageHolder = (*driver)(nil)
