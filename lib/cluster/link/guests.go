package link

import (
	"log/slog"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// maxAsking is how many hellos of one node are looked at, at once: its old
// connection may hang while it makes a new one. A machine that was retired still
// has a certificate, and must not keep everybody else from being heard.
const maxAsking = 4

// ask counts a hello of a node that is looked at, until done is called; ok is
// false if there are too many.
func (t *Transport) ask(node model.UID) (done func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asking[node] >= maxAsking {
		return nil, false
	}
	t.asking[node]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.asking[node]--; t.asking[node] == 0 {
			delete(t.asking, node)
		}
	}, true
}

// logRefused writes the line that both sides of a refused link have. Some
// refusals are the everyday life of a full cluster, and no warning. One node
// gets as many lines as all strangers together: it may have been retired, and
// ask for ever.
func (t *Transport) logRefused(no *Refused, address string, id identity) {
	log := t.o.Log
	if id.node != model.NilUID {
		tell, left := t.linesOf(id.node).take(time.Now())
		if !tell {
			return
		}
		log = notLogged(log, left).With("node", id.node, "node_name", id.name)
	}
	line := log.Warn
	switch no.Code {
	case wire.CodeBusy, wire.CodeDuplicate, wire.CodeRedundant, wire.CodeSelf, wire.CodeStopping:
		line = log.Info
	}
	line("link refused", "address", address, "code", int(no.Code), "reason", no.Text, "by_neighbour", no.Remote)
}

func (t *Transport) linesOf(node model.UID) *quota {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused[node] == nil {
		t.refused[node] = &quota{}
	}
	return t.refused[node]
}

// notLogged notes how many lines were left out before.
func notLogged(log *slog.Logger, left int) *slog.Logger {
	if left == 0 {
		return log
	}
	return log.With(slog.Int("not_logged", left))
}

// logStranger does the same for those who proved nothing: they can come as
// often as they like, so only some get a line.
func (t *Transport) logStranger(no *Refused, address string) {
	tell, left := t.quiet.take(time.Now())
	if !tell {
		return
	}
	notLogged(t.o.Log, left).Warn("link refused", "address", address, "code", int(no.Code), "reason", no.Text, "by_neighbour", no.Remote)
}

// The lines that strangers get together, and each node: enough to see who asks, too few to fill a disk.
const (
	strangerLines  = 10
	strangerPeriod = time.Minute
)

// quota lets through some events of a period and counts the rest.
type quota struct {
	mu    sync.Mutex
	begin time.Time
	told  int
	left  int
}

// take reports whether the event is told, and how many were not since the last
// one that was.
func (q *quota) take(now time.Time) (tell bool, left int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.begin) >= strangerPeriod {
		q.begin, q.told = now, 0
	}
	if q.told >= strangerLines {
		q.left++
		return false, 0
	}
	q.told++
	left, q.left = q.left, 0
	return true, left
}
