package images

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// lookEvery is how long an answer about an image counts. Somebody may remove
// it by hand, or another node on this machine get it.
const lookEvery = 30 * time.Second

// mostLooked bounds the answers that are remembered.
const mostLooked = 1000

// Manager is what a driver's images are to the node: embedded in a driver it
// implements drivers.ImageManager. It remembers which images are there, so that
// a vote costs no look at the disk.
type Manager struct {
	cache *Cache
	read  func(model.LabelDefinition) ([]Image, error)
	have  func(Image) bool

	mu     sync.Mutex
	looked map[Image]look // guarded by mu
}

type look struct {
	there bool
	at    time.Time
}

var _ drivers.ImageManager = (*Manager)(nil)

// NewManager returns a manager of the images in the cache. read finds those of
// a definition, or says what is wrong with its options.
func NewManager(cache *Cache, read func(model.LabelDefinition) ([]Image, error)) *Manager {
	return &Manager{cache: cache, read: read, have: cache.Have, looked: map[Image]look{}}
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

func (m *Manager) one(image Image, now time.Time) bool {
	m.mu.Lock()
	known, ok := m.looked[image]
	m.mu.Unlock()
	if ok && now.Sub(known.at) < lookEvery {
		return known.there
	}
	there := m.have(image)
	m.learn(image, there, now)
	return there
}

// learn notes what is known of an image now.
func (m *Manager) learn(image Image, there bool, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.looked) >= mostLooked {
		clear(m.looked)
	}
	m.looked[image] = look{there: there, at: now}
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
func (m *Manager) UseImages(ctx context.Context, list []Image, holder string) (laid []Laid, release func(), err error) {
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
				m.learn(list[i], true, time.Now())
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
