package app

import (
	"net/http"
	"sync"
)

// gate keeps requests waiting until there is somebody to answer them, so that a client of a node that starts gets its
// answer and no error. It is made closed.
type gate struct {
	open    chan struct{} // closed by pass
	once    sync.Once
	handler http.Handler // set before open is closed
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

// pass lets everybody through, to the handler; the first one counts.
func (g *gate) pass(h http.Handler) {
	g.once.Do(func() {
		g.handler = h
		close(g.open)
	})
}

// ServeHTTP waits for pass, or until the client is gone.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-g.open:
		g.handler.ServeHTTP(w, r)
	case <-r.Context().Done():
	}
}
