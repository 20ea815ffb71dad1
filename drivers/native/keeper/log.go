//go:build linux || darwin

package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// logChunk is one read of the environment's output: what a pipe holds.
	logChunk = 64 << 10
	// logQueue bounds the chunks between reader and disk; together with
	// logChunk it is most of a busy keeper's memory.
	logQueue = 4
	// logPatience is how long the environment may be held up by a disk that
	// does not answer before its output is dropped instead.
	logPatience = time.Second
)

// logFile is the bounded log: log and log.1, at most half of max each.
type logFile struct {
	folder string
	half   int64
	file   *os.File
	size   int64
	lost   int64 // bytes that could not be written since the last that could
	reason error
}

func openLog(folder string, most int64) (*logFile, error) {
	l := &logFile{folder: folder, half: max(most/2, 1)}
	err := l.open()
	return l, err
}

func (l *logFile) open() (err error) {
	l.file, err = os.OpenFile(filepath.Join(l.folder, LogFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := l.file.Stat()
	if err == nil {
		l.size = info.Size()
	}
	return err
}

// write appends output. What does not reach the disk is counted, and the count
// written when something does again.
func (l *logFile) write(data []byte) {
	if l.lost > 0 {
		note := fmt.Appendf(nil, "\n[%d bytes of output lost: %v]\n", l.lost, l.reason)
		if l.append(note) != nil {
			l.lost += int64(len(data))
			return
		}
		l.lost = 0
	}
	for len(data) > 0 {
		part := data[:min(int64(len(data)), l.half)]
		if err := l.append(part); err != nil {
			l.drop(len(data), err)
			return
		}
		data = data[len(part):]
	}
}

func (l *logFile) drop(count int, reason error) {
	l.lost += int64(count)
	l.reason = reason
}

// append writes one part, in a fresh file if the current has no room for it.
func (l *logFile) append(part []byte) error {
	if l.size > 0 && l.size+int64(len(part)) > l.half {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(part)
	l.size += int64(n)
	return err
}

func (l *logFile) rotate() error {
	// Some file systems (ext4) write out a file that is renamed over another: a
	// flood would reach the disk that otherwise is forgotten in memory.
	_ = os.Remove(filepath.Join(l.folder, OldLogFile))
	err := os.Rename(filepath.Join(l.folder, LogFile), filepath.Join(l.folder, OldLogFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	old := l.file
	if err := l.open(); err != nil {
		l.file = old // goes on growing the renamed one until the next try, which is soon
		return err
	}
	return old.Close()
}

// pump takes the environment's output to its log.
type pump struct {
	log    *logFile
	chunks chan []byte
	free   chan []byte // chunks to use again
	done   sync.WaitGroup

	mu      sync.Mutex
	dropped int // guarded by mu: bytes that found the queue full
}

// startPump runs until the output ends, which is when nobody holds its other
// end any more.
func startPump(from io.Reader, log *logFile) *pump {
	p := &pump{log: log, chunks: make(chan []byte, logQueue), free: make(chan []byte, logQueue+2)}
	p.done.Go(func() { p.read(from) })
	p.done.Go(p.store)
	return p
}

// finish waits until all output is in the log, but no longer than a second
// past the end of the environment.
func (p *pump) finish() {
	ended := make(chan struct{})
	go func() {
		p.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(logPatience): // the process ends now, and its goroutines with it
	}
}

func (p *pump) read(from io.Reader) {
	defer close(p.chunks)
	patient := true
	for {
		chunk := p.empty()
		n, err := from.Read(chunk)
		if n > 0 {
			patient = p.offer(chunk[:n], patient)
		}
		if err != nil {
			return
		}
	}
}

func (p *pump) empty() []byte {
	select {
	case chunk := <-p.free:
		return chunk[:logChunk]
	default:
		return make([]byte, logChunk)
	}
}

// offer queues a chunk, or drops it where the disk has hung for long. It says
// whether the next may wait again.
func (p *pump) offer(chunk []byte, patient bool) bool {
	select {
	case p.chunks <- chunk:
		return true
	default:
	}
	if patient {
		select {
		case p.chunks <- chunk:
			return true
		case <-time.After(logPatience):
		}
	}
	p.mu.Lock()
	p.dropped += len(chunk)
	p.mu.Unlock()
	return false
}

// errSlowDisk is the reason of output that was dropped at the queue.
var errSlowDisk = errors.New("disk did not answer in time")

func (p *pump) store() {
	for chunk := range p.chunks {
		p.mu.Lock()
		dropped := p.dropped
		p.dropped = 0
		p.mu.Unlock()
		if dropped > 0 {
			p.log.drop(dropped, errSlowDisk)
		}
		p.log.write(chunk)
		select {
		case p.free <- chunk:
		default:
		}
	}
}
