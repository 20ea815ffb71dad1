package farm

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// LoadOptions say how a fleet of CI controllers behaves. Lists of clients must
// not be empty; the lives take them in turn, and where one does not answer go
// on to the next, as behind one DNS name for many nodes.
type LoadOptions struct {
	Create  []fish.Client   // who is asked for an environment
	Read    []fish.Client   // whom state and resource are asked of
	Release []fish.Client   // who is told that it is no longer needed
	Label   string          // its UID
	Rate    int             // applications/s that are asked for, whatever has become of those before
	For     time.Duration   // how long; 0 = until Stop
	Stop    <-chan struct{} // ends the asking where it is closed; nil = never
	// RecallEvery n has every n-th application given up at once, whatever it
	// is doing. 0 = none.
	RecallEvery int
	// Hold is how long an environment is used.
	Hold time.Duration
	// Patience is how long a whole life may take. Default 2 min.
	Patience time.Duration
	// MaxOpen is how many lives are open at most; past it none is asked for.
	// Default 1000: a farm that stands still must not be buried.
	MaxOpen int
}

// polling bounds how often the state is asked for: at first often, to measure,
// then as rarely as a plugin does.
const (
	firstPoll = 20 * time.Millisecond
	lastPoll  = time.Second
)

// LoadResult is what became of a load.
type LoadResult struct {
	Asked    int // applications asked for
	Withheld int // not asked for, as MaxOpen lives were open
	Unsure   int // requests for one whose answer was lost: it may be there
	Created  int // acknowledged
	Ended    int // seen to their end
	Recalled int // of them given up at once

	Failed []string // ended in ERROR
	Lost   []string // acknowledged, and not over within Patience
	// False are answers that must never be: a 404 or nothing where something
	// is, a state that goes back.
	False []string

	Refused     int // requests without an answer: no connection, cut off
	Unavailable int // 503: the node does not know yet, and says so
	Broken      int // other errors of a node, such as one that can not write; the request is repeated

	Seen  Latencies // from the request to ALLOCATED seen by the reader
	Whole Latencies // from the request to the end seen by the reader

	known map[string]bool // the applications acknowledged
}

func (r *LoadResult) String() string {
	return fmt.Sprintf("%d asked, %d withheld, %d unsure, %d created, %d ended (%d recalled), %d failed, %d lost, %d false answers, "+
		"%d refused, %d unavailable, %d broken; ALLOCATED seen %v; whole life %v",
		r.Asked, r.Withheld, r.Unsure, r.Created, r.Ended, r.Recalled, len(r.Failed), len(r.Lost), len(r.False),
		r.Refused, r.Unavailable, r.Broken, r.Seen, r.Whole)
}

// Knows reports whether the application was acknowledged to the load.
func (r *LoadResult) Knows(app string) bool { return r.known[app] }

// load is one that goes on.
type load struct {
	options LoadOptions
	room    chan struct{}
	open    sync.WaitGroup

	mu     sync.Mutex
	result LoadResult // guarded by mu
}

// RunLoad asks for applications at an even rate and sees each to its end. It
// returns when all are over, or given up; the end of ctx ends the asking too.
func RunLoad(ctx context.Context, o LoadOptions) *LoadResult {
	o.Patience, o.MaxOpen = cmp.Or(o.Patience, 2*time.Minute), cmp.Or(o.MaxOpen, 1000)
	l := &load{options: o, result: LoadResult{known: map[string]bool{}}}
	var ended <-chan time.Time
	if o.For > 0 {
		ended = time.After(o.For)
	}
	l.room = make(chan struct{}, o.MaxOpen)
	begun := time.Now()
	due := time.NewTimer(0)
	defer due.Stop()
	for i := 0; ; i++ {
		select {
		case <-due.C: // by the clock: what a busy machine is late with is made up for
			l.begin(ctx, i)
			due.Reset(time.Until(begun.Add(time.Duration(i+1) * time.Second / time.Duration(o.Rate))))
			continue
		case <-ended:
		case <-o.Stop:
		case <-ctx.Done():
		}
		l.open.Wait()
		return &l.result
	}
}

// begin begins one more life, if there is room for it.
func (l *load) begin(ctx context.Context, number int) {
	select {
	case l.room <- struct{}{}:
	default:
		l.note(func(r *LoadResult) { r.Withheld++ })
		return
	}
	l.open.Go(func() {
		defer func() { <-l.room }()
		life := &life{load: l, number: number}
		bounded, done := context.WithTimeout(context.WithoutCancel(ctx), l.options.Patience)
		defer done()
		life.run(bounded)
	})
}

func (l *load) note(change func(*LoadResult)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.result)
}

// activeApplication is one that is not over, as a node lists it.
type activeApplication struct {
	Application object     `json:"application"`
	State       fish.State `json:"state"`
}

// ReleaseUnsure gives up what the load asked for without an answer and what
// came to be all the same, as a controller does that comes back. It returns
// how many there were.
func (r *LoadResult) ReleaseUnsure(c fish.Client) int {
	found := 0
	for _, app := range fish.Get[[]activeApplication](c, "/api/v1/application/active/") {
		if !r.known[app.Application.UID] {
			found++
			_ = c.Request("GET", "/api/v1/application/"+app.Application.UID+"/deallocate", nil) // what has ended by itself is over
		}
	}
	return found
}
