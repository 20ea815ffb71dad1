// Package turns lets goroutines work on an environment one at a time: a mutex
// per key whose waiting ends with a context.
package turns

import (
	"context"
	"sync"
)

// Turns gives the turn of a key to one goroutine at a time. Those that want
// another key's are not held up, and a key that nobody wants costs nothing.
type Turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	free  chan struct{} // holds one value while nobody has the turn
	users int           // who has it or waits for it; guarded by Turns.mu
}

// New returns Turns of which all are free.
func New() *Turns { return &Turns{keys: make(map[string]*turn)} }

// Take waits for the turn of a key. done gives it on: it must be called once.
// The error is that of the context, and there is nothing to give on then.
func (t *Turns) Take(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	one, ok := t.keys[key]
	if !ok {
		one = &turn{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		t.keys[key] = one
	}
	one.users++
	t.mu.Unlock()

	select {
	case <-one.free:
		return func() {
			one.free <- struct{}{}
			t.leave(key, one)
		}, nil
	case <-ctx.Done():
		t.leave(key, one)
		return nil, ctx.Err()
	}
}

func (t *Turns) leave(key string, one *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(t.keys, key)
	}
}
