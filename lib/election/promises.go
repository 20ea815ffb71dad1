package election

import (
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Promises are the yes-votes of this process. A grant is taken up only by the
// process that voted for it, and not long after: who was asleep meanwhile, or
// was started anew, does not know what the others decided since.
type Promises struct {
	boot func() time.Duration

	mu    sync.Mutex
	given map[model.UID]promise
}

type promise struct {
	at   time.Time // with its monotonic reading
	boot time.Duration
}

// promiseKept is how long a promise is remembered: far beyond every start_by,
// so that a late grant is told to be late.
const promiseKept = time.Hour

// NewPromises returns none. boot reads a clock that runs on while the machine
// sleeps.
func NewPromises(boot func() time.Duration) *Promises {
	return &Promises{boot: boot, given: map[model.UID]promise{}}
}

// Give notes that this process votes yes now.
func (p *Promises) Give(app model.UID) {
	now := promise{at: time.Now(), boot: p.boot()}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.given[app] = now
}

// Age is how long ago this process voted yes last, by the clock that ran
// further; ok is false if it did not, or took it back.
func (p *Promises) Age(app model.UID) (age time.Duration, ok bool) {
	boot := p.boot()
	p.mu.Lock()
	defer p.mu.Unlock()
	given, ok := p.given[app]
	if !ok {
		return 0, false
	}
	return max(time.Since(given.at), boot-given.boot), true
}

// TakeBack forgets a promise.
func (p *Promises) TakeBack(app model.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.given, app)
}

// sweep forgets what nobody will ask for.
func (p *Promises) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for app, given := range p.given {
		if time.Since(given.at) > promiseKept {
			delete(p.given, app)
		}
	}
}
