package relay

import "time"

// answerTime is how long an answer is waited for that the other side owes. Those
// of OpenSSH come at once or, where a login has to be prepared, within a minute;
// an environment may be frozen for a while.
const answerTime = 10 * time.Minute

// answer is what a request came to.
type answer struct {
	ok      bool
	payload []byte
	err     error
}

// ask sends a request and waits for its answer, if it has one, but not for ever. Two sides that both
// ask on and never answer fill crypto/ssh's queues in both directions: then
// nobody reads any more, not even that the connections have ended.
func (r *Relay) ask(answered bool, send func() (bool, []byte, error)) (bool, []byte, error) {
	if !answered {
		return send()
	}
	come := make(chan answer, 1)
	go func() { // ends with the connection at the latest
		ok, payload, err := send()
		come <- answer{ok, payload, err}
	}()
	patience := time.NewTimer(answerTime)
	defer patience.Stop()
	select {
	case a := <-come:
		return a.ok, a.payload, a.err
	case <-r.cut:
	case <-patience.C:
		r.Cut()
	}
	return false, nil, errOver
}

// Cut ends both connections, whatever is waited for.
func (r *Relay) Cut() {
	r.cutOnce.Do(func() { close(r.cut) })
	for _, e := range []*end{r.client, r.target} {
		_ = e.Conn.Close() // it may have ended
		e.Wire.End()
	}
}
