package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// backupPace is how often a life begins while the database is copied.
	backupPace = 10 * time.Millisecond
	// backupClients is how many lives go on at once at the most; what a node
	// that falls behind does not get to begins later.
	backupClients = 200
)

// measureBackup copies the database of a node by its own command while clients
// live whole lives on it, and counts those that fail.
func (b *bench) measureBackup(ctx context.Context, n *node) error {
	r := backupRun{bench: b, node: n, idle: make(chan *conn, backupClients)}
	defer r.close()
	if err := b.warm(ctx, n, r.idle); err != nil {
		return err
	}
	file := filepath.Join(n.dir, "copy.db")
	if err := r.copy(ctx, file); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("look for the copy: %w", err)
	}
	detail := fmt.Sprintf("%.0f MB in %s, beside %.0f lives/s", megabytes(uint64(info.Size())), //nolint:gosec // not negative
		brief(r.took), float64(r.lived.Load())/r.took.Seconds())
	if first := r.first.Load(); first != nil {
		detail += "; " + (*first).Error()
	}
	b.table.less(b.historyName()+": lives that fail during a backup", "%.0f", float64(r.failed.Load()), 1, detail)
	return os.Remove(file)
}

// backupRun is the measurement.
type backupRun struct {
	bench *bench
	node  *node
	idle  chan *conn // for the next life; has room for those of all

	took          time.Duration
	lived, failed atomic.Int64
	first         atomic.Pointer[error] // of those that failed
}

// copy runs the command, and starts lives until it is done.
func (r *backupRun) copy(ctx context.Context, file string) error {
	cmd := exec.CommandContext(ctx, r.node.binary, "db", "backup", file, "--cfg", "fish.yaml")
	cmd.Dir = r.node.dir
	var lives sync.WaitGroup
	defer lives.Wait()
	turns := make(chan struct{}, backupClients)
	pace := time.NewTicker(backupPace)
	defer pace.Stop()
	type ending struct {
		text []byte
		err  error
	}
	ended := make(chan ending, 1)
	begin := time.Now()
	go func() {
		text, err := cmd.CombinedOutput()
		ended <- ending{text, err}
	}()
	for {
		select {
		case e := <-ended:
			r.took = time.Since(begin)
			if e.err != nil {
				return fmt.Errorf("db backup: %w\n%s", e.err, e.text)
			}
			return nil
		case <-pace.C:
		}
		select {
		case turns <- struct{}{}:
			lives.Go(func() {
				r.live(ctx)
				<-turns
			})
		default: // all clients are busy
		}
	}
}

// live is one life, and what became of it.
func (r *backupRun) live(ctx context.Context) {
	err := r.tryLife(ctx)
	if err == nil {
		r.lived.Add(1)
		return
	}
	r.failed.Add(1)
	r.first.CompareAndSwap(nil, &err)
}

func (r *backupRun) tryLife(ctx context.Context) (err error) {
	var c *conn
	select {
	case c = <-r.idle:
	default:
		if c, err = r.node.dial(ctx); err != nil {
			return err
		}
	}
	if err := (life{c, r.bench.ci, r.bench.label, crowdPause}).live(ctx); err != nil {
		c.close()
		return errors.Join(errors.New("a life failed"), err)
	}
	r.idle <- c
	return nil
}

func (r *backupRun) close() {
	close(r.idle)
	for c := range r.idle {
		c.close()
	}
}
