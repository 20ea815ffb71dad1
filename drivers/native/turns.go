package native

import (
	"context"
	"sync"
)

// turns lets one goroutine at a time work on an environment. Those that work
// on others are not held up, and waiting ends with the context.
type turns struct {
	mu   sync.Mutex
	keys map[string]*turn
}

type turn struct {
	free  chan struct{} // holds one value while nobody has the turn
	users int           // who has it or waits for it; guarded by turns.mu
}

func newTurns() *turns { return &turns{keys: make(map[string]*turn)} }

// take waits for the turn. done must be called once, if there is no error.
func (t *turns) take(ctx context.Context, key string) (done func(), err error) {
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

func (t *turns) leave(key string, one *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(t.keys, key)
	}
}
