package link

import (
	"context"
	"fmt"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Transport makes links to neighbours and takes those that they make.
type Transport struct {
	o    Options
	self model.UID

	pending   chan struct{} // a place for each neighbour whose hello is looked at
	strangers chan struct{} // a place for each refused one that is told why
	quiet     quota

	mu       sync.Mutex
	serving  context.Context // of Run; nil before it and after
	handlers Handlers
	links    map[*Link]struct{}
	asking   map[model.UID]int    // hellos of a node that are looked at
	refused  map[model.UID]*quota // lines about a node; there are as many as the CA ever signed for
	work     sync.WaitGroup       // what Run waits for; added to only while serving, under mu
}

// New returns a transport; it refuses everybody until Run.
func New(o Options) (*Transport, error) {
	o, err := o.validate()
	if err != nil {
		return nil, err
	}
	leaf, err := leafOf(o.Certificate())
	if err != nil {
		return nil, err
	}
	self, err := nodeOf(leaf)
	if err != nil {
		return nil, err
	}
	return &Transport{
		o: o, self: self, links: map[*Link]struct{}{}, asking: map[model.UID]int{}, refused: map[model.UID]*quota{},
		pending: make(chan struct{}, o.Limits.Pending), strangers: make(chan struct{}, o.Limits.Strangers),
	}, nil
}

// Run takes and makes links until ctx is done. Then it tells every neighbour
// that the node stops, and returns when all links and handlers have ended.
func (t *Transport) Run(ctx context.Context, h Handlers) error {
	t.mu.Lock()
	if t.serving != nil {
		t.mu.Unlock()
		return fmt.Errorf("run transport: it runs already")
	}
	t.serving, t.handlers = ctx, h
	t.mu.Unlock()
	<-ctx.Done()

	t.mu.Lock()
	t.serving = nil
	var links []*Link
	for l := range t.links {
		links = append(links, l)
	}
	t.mu.Unlock()
	var closing sync.WaitGroup
	for _, l := range links { // at once: each may take a second
		closing.Go(func() { l.Close(wire.CodeStopping, "the node stops") })
	}
	closing.Wait()
	t.work.Wait()
	return nil
}

// enter counts one more thing that Run waits for; leave has to follow. It
// fails while Run does not run.
func (t *Transport) enter() (context.Context, Handlers, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.serving == nil || t.serving.Err() != nil {
		return nil, Handlers{}, false
	}
	t.work.Add(1)
	return t.serving, t.handlers, true
}

func (t *Transport) leave() { t.work.Done() }

// keep notes a link that began. It fails if the transport has stopped
// meanwhile, and would not end that link.
func (t *Transport) keep(l *Link) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.serving == nil {
		return false
	}
	t.work.Add(1)
	t.links[l] = struct{}{}
	return true
}

func (t *Transport) forget(l *Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.links, l)
	t.work.Done()
}
