package relay

import (
	"errors"
	"time"

	"golang.org/x/crypto/ssh"
)

// overTime is how long after the end of a connection an answer is waited for
// that came before it.
const overTime = time.Second

var errOver = errors.New("the connection has ended")

// opened is the answer to the opening of a channel.
type opened struct {
	channel  ssh.Channel
	requests <-chan *ssh.Request
	err      error
}

// open opens a channel at this end. It does not wait for OpenChannel itself,
// which never returns where the connection ends at the moment in which it asks:
// crypto/ssh forgets the channels that it knows and then takes in one more, of
// which nobody hears again. Who was so unlucky stays behind alone.
func (e *end) open(kind string, extra []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	select {
	case <-e.over:
		return nil, nil, errOver
	default:
	}
	answer := make(chan opened, 1)
	go func() {
		channel, requests, err := e.Conn.OpenChannel(kind, extra)
		answer <- opened{channel, requests, err}
	}()
	select {
	case a := <-answer:
		return a.channel, a.requests, a.err
	case <-e.over:
	}
	select {
	case a := <-answer:
		return a.channel, a.requests, a.err
	case <-time.After(overTime):
		return nil, nil, errOver
	}
}
