package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Defaults and bounds of a Log.
const (
	// DefaultSize is where a file is full: some 40,000 events, a month of a busy node.
	DefaultSize = 10 << 20
	// DefaultKeep is how many full files stay: with the open one about 100 MB.
	DefaultKeep = 9

	// queueLength bounds the events that wait for the disk: a burst of 50 parallel clients for a minute.
	queueLength = 4096
	// syncEvery is how much a power loss may take of what was written.
	syncEvery = time.Second
	// stopPatience is how long a stop waits for a disk that hangs.
	stopPatience = 2 * time.Second
	// readPatience is how long a reader waits for the events before it: a disk that hangs must not hold who asks why.
	readPatience = time.Second
)

// Options is what a Log needs.
type Options struct {
	// Path is the open file; full ones lie beside it, named by the first event in them. Required.
	Path string
	// Size is where a file is full, in bytes; 0 is DefaultSize.
	Size int64
	// Keep is how many full files stay beside the open one; the oldest go.
	Keep int
	// Logger is told when the disk takes no events. Required.
	Logger *slog.Logger
}

func (o *Options) validate() error {
	switch {
	case o.Path == "" || o.Logger == nil:
		return errors.New("audit: Path and Logger are required")
	case o.Size < 0 || o.Keep < 0:
		return errors.New("audit: Size or Keep is negative")
	}
	o.Size = cmp.Or(o.Size, DefaultSize)
	return nil
}

// Log takes events and writes them. Its methods may be called from any goroutine; Run writes.
type Log struct {
	opts   Options
	file   *file         // the writer's alone once Run is called
	clean  bool          // the run before this one noted its stop
	wake   chan struct{} // capacity 1
	logins *logins

	refuses, grows bool // what report has told

	mu      sync.Mutex
	queue   []Event
	dropped int64
	noted   uint64        // events that found a place in the queue, ever
	settled uint64        // of these: are in the file, or lost
	moved   chan struct{} // closed when settled grows, if somebody waits for that
	seq     int64         // of the last event that was given one; the writer's alone once Run is called
}

// Open opens the file of the options, which it makes if it is absent, with a folder for it. An error is for the one who
// configured it: nothing is audited then.
func Open(o Options) (*Log, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	f, last, err := openFile(o)
	if err != nil {
		return nil, fmt.Errorf("open audit file %s: %w", o.Path, err)
	}
	ran, err := newest(o.Path, func(e Event) bool { return !e.byCommand() })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read audit file %s: %w", o.Path, err), f.close())
	}
	return &Log{
		opts: o, file: f, seq: last.Seq, clean: ran.Seq == 0 || ran.Action == ActionStop,
		wake: make(chan struct{}, 1), logins: newLogins(),
	}, nil
}

// EndedInOrder reports whether the run of the node before this one noted its stop, or there was none.
func (l *Log) EndedInOrder() bool { return l.clean }

// Note takes down an event at once and never waits. What finds no place is counted, and the count becomes an event.
func (l *Log) Note(e Event) {
	e.Time, e.Count, e.Address = time.Now().UTC(), max(1, e.Count), host(e.Address)
	l.mu.Lock()
	if len(l.queue) < queueLength {
		l.queue = append(l.queue, e)
		l.noted++
	} else {
		l.dropped += e.Count
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // the writer knows already
	}
}

// Login notes what came of credentials: a success once a day for each user and address, failures the first time and
// then as counts each minute, so that nobody fills the disk with them. user is empty where there is no such user: what
// strangers type into that field is now and then a password. remote is the peer's socket address. It is cheap enough to
// be called for each request.
func (l *Log) Login(user, remote, requestID string, result Result) {
	if e, due := l.logins.take(user, host(remote), result, time.Now()); due {
		e.RequestID = requestID
		l.Note(e)
	}
}

// Run writes what is noted until ctx ends; then it writes the rest, and that the node stops, and closes the file. A disk
// that hangs is left behind with an error.
func (l *Log) Run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- l.write(ctx) }() // owned by this function, as far as a system call can be
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(stopPatience):
		return errors.New("audit file did not take the last events in time: its disk hangs")
	}
}

// write is the loop of Run.
func (l *Log) write(ctx context.Context) error {
	ticker := time.NewTicker(syncEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-l.wake:
			l.flush()
		case now := <-ticker.C:
			for _, e := range l.logins.due(now) {
				l.Note(e)
			}
			l.flush()
			if err := l.file.settle(); err != nil || l.file.taken {
				l.report(err)
			}
		}
	}
	for _, e := range l.logins.all() {
		l.Note(e)
	}
	l.flush()
	l.Note(Event{Action: ActionStop, Result: ResultOK})
	l.flush()
	return l.file.close()
}

// flush writes what is queued.
func (l *Log) flush() {
	l.mu.Lock()
	events, dropped := l.queue, l.dropped
	l.queue, l.dropped = nil, 0
	noted := l.noted
	l.mu.Unlock()
	defer l.progress(noted)
	if dropped > 0 {
		events = append(events, Event{
			Time: time.Now().UTC(), Action: ActionDropped, Result: ResultFailed, Count: dropped,
			Detail: "events before this one were lost: the disk took no more of them",
		})
	}
	if len(events) == 0 {
		return
	}
	whole, err := l.append(events)
	l.lost(events[whole:])
	l.report(err)
}

// progress tells who waits that the first so many events are in the file, or lost.
func (l *Log) progress(noted uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled = noted
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}

// await waits until what was noted before it is in the file, or lost; not for longer than readPatience, nor than ctx.
func (l *Log) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for noted := l.noted; l.settled < noted && ctx.Err() == nil; {
		if l.moved == nil {
			l.moved = make(chan struct{})
		}
		moved := l.moved
		l.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
		}
		l.mu.Lock()
	}
}

// append gives the events their numbers, writes them at once and returns how many are in the file.
func (l *Log) append(events []Event) (whole int, err error) {
	var text []byte
	for i, e := range events {
		e.Seq = l.seq + 1 + int64(i)
		text = append(text, e.line()...)
	}
	whole, err = l.file.append(text, l.seq+1)
	l.seq += int64(whole)
	return whole, err
}

// lost counts what could not be written; the count is written later.
func (l *Log) lost(events []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.dropped += e.Count
	}
}

// report tells the operator when the disk begins to refuse and when it ends to.
func (l *Log) report(err error) {
	switch {
	case err != nil && !l.refuses:
		l.opts.Logger.Error("audit file takes no events, they are counted and lost until it does: make room on its disk",
			"path", l.opts.Path, "error", err)
	case err == nil && l.refuses:
		l.opts.Logger.Info("audit file takes events again", "path", l.opts.Path)
	}
	l.refuses = err != nil
	if trouble := l.file.trouble; trouble != nil && !l.grows {
		l.opts.Logger.Error("audit file is full and can not be put aside, it grows", "path", l.opts.Path, "error", trouble)
	}
	l.grows = l.file.trouble != nil
	if l.file.taken {
		l.file.taken = false
		l.opts.Logger.Warn("audit file was moved, removed or cut by somebody else, a new one begins", "path", l.opts.Path)
	}
}
