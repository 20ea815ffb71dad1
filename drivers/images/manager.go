package images

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// lookEvery is how long an answer about an image counts. Somebody may remove
// it by hand, or another node on this machine get it.
const lookEvery = 30 * time.Second

// patience is how long a vote waits for a look, which takes microseconds where
// the disk is well.
const patience = 100 * time.Millisecond

// mostLooked bounds the answers that are remembered.
const mostLooked = 1000

// Manager is what a driver's images are to the node: embedded in a driver it
// implements drivers.ImageManager. It remembers which images are there, so that
// a vote costs no look at the disk, and looks beside, so that a disk which
// hangs holds up no vote.
type Manager struct {
	cache    *Cache
	read     func(model.LabelDefinition) ([]Image, error)
	have     func(Image) bool
	landings func() uint64
	spawn    func(func()) bool

	mu     sync.Mutex
	looked map[Image]*look // guarded by mu, with what it leads to
}

// look is what is known of an image.
type look struct {
	there    bool
	at       time.Time // of the look's end; zero: it is under way
	landings uint64    // of the cache when it began
}

// counts says whether the look is as good as another one now. That an image is
// missing counts only until any has come: perhaps nobody waited for it any more
// who would tell.
func (l *look) counts(now time.Time, landings uint64) bool {
	return now.Sub(l.at) < lookEvery && (l.there || l.landings == landings)
}

var _ drivers.ImageManager = (*Manager)(nil)

// NewManager returns a manager of the images in the cache. read finds those of
// a definition, or says what is wrong with its options.
func NewManager(cache *Cache, read func(model.LabelDefinition) ([]Image, error)) *Manager {
	return &Manager{cache: cache, read: read, have: cache.Have, landings: cache.landings, spawn: cache.spawn, looked: map[Image]*look{}}
}

// Cached implements drivers.ImageHolder. What needs no image lacks none.
func (m *Manager) Cached(def model.LabelDefinition) bool {
	list, err := m.read(def)
	if err != nil {
		return false
	}
	for _, image := range list {
		if !m.one(image, time.Now()) {
			return false
		}
	}
	return true
}

// one says whether the image is there. Where that can not be found out in time
// it is not: whoever needs it then asks the cache.
func (m *Manager) one(image Image, now time.Time) bool {
	if ended := m.launch(image, now); ended != nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.looked[image]
	return known != nil && known.there
}

// launch starts a look if one is due and none is under way, and returns what is
// closed at its end.
func (m *Manager) launch(image Image, now time.Time) <-chan struct{} {
	landings := m.landings()
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.looked[image]
	if known != nil && (known.at.IsZero() || known.counts(now, landings)) {
		return nil
	}
	if !m.fits() {
		return nil
	}
	known, ended := &look{landings: landings}, make(chan struct{})
	m.looked[image] = known
	if !m.spawn(func() { m.land(image, known); close(ended) }) {
		return nil
	}
	return ended
}

// land looks, and notes what was found unless more is known by now.
func (m *Manager) land(image Image, known *look) {
	there := m.have(image)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.looked[image] == known {
		known.there, known.at = there, time.Now()
	}
}

// fits reports whether one more answer may be remembered: where all that could
// be forgotten is under way, the disk hangs. mu is held.
func (m *Manager) fits() bool {
	if len(m.looked) >= mostLooked {
		maps.DeleteFunc(m.looked, func(_ Image, l *look) bool { return !l.at.IsZero() })
	}
	return len(m.looked) < mostLooked
}

// learn notes that an image is there.
func (m *Manager) learn(image Image) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fits() {
		m.looked[image] = &look{there: true, at: time.Now()}
	}
}

// ListImages implements drivers.ImageManager.
func (m *Manager) ListImages(ctx context.Context) ([]drivers.ImageStatus, error) {
	return m.cache.List(ctx)
}

// PullImages implements drivers.ImageManager. All are on their way at once, and
// one that can not be got keeps none of the others from coming.
func (m *Manager) PullImages(ctx context.Context, def model.LabelDefinition) error {
	list, err := m.read(def)
	if err != nil {
		return err
	}
	return m.each(list, func(i int) error {
		_, err := m.cache.Get(ctx, list[i])
		return err
	})
}

// RemoveImage implements drivers.ImageManager.
func (m *Manager) RemoveImage(ctx context.Context, id string) error {
	err := m.cache.Remove(ctx, id)
	m.mu.Lock()
	clear(m.looked)
	m.mu.Unlock()
	return err
}

// UseImages is Cache.Use of all, which it returns in their order. After an error
// there is nothing to release; what the holder has of some ends with Unuse.
func (m *Manager) UseImages(ctx context.Context, list []Image, holder Holder) (laid []Laid, release func(), err error) {
	laid = make([]Laid, len(list))
	held := make([]func(), len(list))
	err = m.each(list, func(i int) (err error) {
		laid[i], held[i], err = m.cache.Use(ctx, list[i], holder)
		return err
	})
	release = func() {
		for _, free := range held {
			if free != nil {
				free()
			}
		}
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return laid, release, nil
}

// each does something for all images at once, and notes which are there.
func (m *Manager) each(list []Image, do func(i int) error) error {
	errs := make([]error, len(list))
	var wait sync.WaitGroup
	for i := range list {
		wait.Go(func() {
			if errs[i] = do(i); errs[i] == nil {
				m.learn(list[i])
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
