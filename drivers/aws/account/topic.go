package account

import (
	"context"
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

const (
	// askTimeout bounds one question, all its pages and retries included. With
	// retryMost it keeps the time to recover from an outage under a minute.
	askTimeout = 20 * time.Second
	// The pause after a failed question doubles from retryLeast to retryMost.
	retryLeast = time.Second
	retryMost  = 15 * time.Second
	// troubleAfter is for how long questions fail before it is called trouble.
	troubleAfter = 5 * time.Second
)

// topic is one question that is asked again and again, by one goroutine: so
// there is never more than one on its way.
type topic struct {
	name string
	// vital topics are those without which nothing new can be launched.
	vital bool
	// least is the pause between two beginnings, however many want it; pace is
	// the pause while nobody does. mu of the account is held.
	least time.Duration
	pace  func() time.Duration
	// needed is whether it is asked at all; nil: always. Whoever begins to need
	// it calls wants. What is not asked is not answered: nobody who waits for
	// an answer takes that for one. mu of the account is held.
	needed func() bool
	// ask asks, and returns what to do with the answer: f is locked then.
	ask   func(ctx context.Context) (learn func(f *facts, asked time.Time), err error)
	retry time.Duration // longest pause after failures; 0: retryMost

	kick chan struct{} // says that due may be earlier

	// mu of the account guards the rest.
	want   time.Time     // somebody waits for an answer that was asked for after that
	asked  time.Time     // when the last answer was asked for
	tried  time.Time     // when the last failure was
	since  time.Time     // when the first failure since the last answer was asked for
	err    error         // of the last failure since the last answer
	again  time.Time     // when it is asked again after a failure
	landed chan struct{} // closed and replaced at the end of each question
}

// due is when the topic is asked next. mu is held.
func (t *topic) due() time.Time {
	switch {
	case t.err != nil:
		return t.again
	case t.asked.IsZero():
		return time.Time{}
	case !t.want.IsZero() && !t.asked.After(t.want):
		return t.asked.Add(t.least)
	}
	return t.asked.Add(t.pace())
}

// follow asks a topic until ctx ends.
func (a *Account) follow(ctx context.Context, t *topic) {
	retries := loop.Backoff{Min: retryLeast, Max: max(retryMost, t.retry)}
	for {
		a.mu.Lock()
		due, needed := t.due(), t.needed == nil || t.needed()
		a.mu.Unlock()
		timer := time.NewTimer(time.Until(due))
		isDue := timer.C
		if !needed {
			isDue = nil // it sleeps until it is kicked
		}
		select {
		case <-ctx.Done():
		case <-t.kick:
		case <-isDue:
			a.ask(ctx, t, &retries)
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// ask asks once and takes the answer.
func (a *Account) ask(ctx context.Context, t *topic, retries *loop.Backoff) {
	asked := time.Now()
	call, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var learn func(*facts, time.Time)
	err := drivers.Guard(a.log, func() (err error) {
		learn, err = t.ask(call)
		return err
	})
	if ctx.Err() != nil {
		return // the end of the account is no failure of the service
	}
	a.change(func(f *facts) {
		if err != nil {
			a.failed(t, err, asked, retries.Next())
			return
		}
		retries.Reset()
		a.answered(t, asked)
		learn(f, asked)
	})
}

// failed notes a failure. mu is held.
func (a *Account) failed(t *topic, err error, asked time.Time, pause time.Duration) {
	first := t.err == nil
	if first {
		t.since = asked
	}
	t.err, t.tried, t.again = err, asked, time.Now().Add(pause)
	t.land()
	log := a.log.Debug
	if first && a.reached {
		log = a.log.Warn
	}
	t.tell(log)
}

// tell logs the last failure.
func (t *topic) tell(log func(msg string, args ...any)) {
	log("aws did not answer, what is known ages until it does", "topic", t.name, "error", t.err)
}

// Reached says that the service took the credentials: failures are warned of
// from here on. Before, whoever opens the account tells why it can not be, and
// tries again with a new one: each would fill the log with all topics.
func (a *Account) Reached() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reached {
		return
	}
	a.reached = true
	for _, t := range a.topics() {
		if t.err != nil {
			t.tell(a.log.Warn)
		}
	}
}

// answered notes an answer. mu is held.
func (a *Account) answered(t *topic, asked time.Time) {
	if t.err != nil {
		a.log.Info("aws answers again", "topic", t.name, "silent", time.Since(t.since).Round(time.Millisecond))
	}
	t.asked, t.err, t.since = asked, nil, time.Time{}
	t.land()
}

func (t *topic) land() {
	close(t.landed)
	t.landed = make(chan struct{})
}

// wants asks for an answer that was asked for after a time. mu is held.
func (t *topic) wants(since time.Time) {
	if since.After(t.want) {
		t.want = since
	}
	select {
	case t.kick <- struct{}{}:
	default: // it is to look already
	}
}

// errClosed is of an account that nobody uses any more.
var errClosed = errors.New("the driver instance was closed")

// fresh waits for an answer that was asked for after a time.
func (a *Account) fresh(ctx context.Context, t *topic, since time.Time) error {
	return a.await(ctx, t, since, func() bool { return t.asked.After(since) })
}

// await waits until enough is true, which answers of the topic may make it.
// However many wait, they share one question. It returns the error of the
// first question that was asked for after since and failed. enough is called
// with mu held.
func (a *Account) await(ctx context.Context, t *topic, since time.Time, enough func() bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !enough() {
		if t.err != nil && t.tried.After(since) {
			return t.err
		}
		t.wants(since)
		landed := t.landed
		a.mu.Unlock()
		var err error
		select {
		case <-landed:
		case <-ctx.Done():
			err = ctx.Err()
		case <-a.ended:
			err = errClosed
		}
		a.mu.Lock()
		if err != nil {
			return errors.Join(err, t.err)
		}
	}
	return nil
}
