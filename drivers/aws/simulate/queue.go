package simulate

// event is something that happens at a time, to a host or to a job.
type event struct {
	at   int64  // Unix time
	seq  uint64 // of those at the same time the one that was foreseen first comes first
	kind kind
	of   int32 // the host or job, by its number
}

// before is the order in which things happen: total, so that a run comes out
// the same every time.
func (e event) before(o event) bool {
	if e.at != o.at {
		return e.at < o.at
	}
	return e.seq < o.seq
}

// queue is what is foreseen, the next first: a heap by (time, seq), of which
// each event has four children, as that is half as deep as with two.
type queue struct {
	heap []event
	seq  uint64
}

const children = 4

// push foresees an event.
func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / children
		if !e.before(q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		i = parent
	}
	q.heap[i] = e
}

// pop takes the next event out; ok is false when nothing is foreseen.
func (q *queue) pop() (e event, ok bool) {
	if len(q.heap) == 0 {
		return event{}, false
	}
	e = q.heap[0]
	last := len(q.heap) - 1
	moved := q.heap[last]
	q.heap = q.heap[:last]
	if last == 0 {
		return e, true
	}
	i := 0 // where moved goes
	for {
		first := children*i + 1
		if first >= last {
			break
		}
		child := first
		for other := first + 1; other < min(first+children, last); other++ {
			if q.heap[other].before(q.heap[child]) {
				child = other
			}
		}
		if !q.heap[child].before(moved) {
			break
		}
		q.heap[i] = q.heap[child]
		i = child
	}
	q.heap[i] = moved
	return e, true
}

// next is when the next event is.
func (q *queue) next() (at int64, ok bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].at, true
}
