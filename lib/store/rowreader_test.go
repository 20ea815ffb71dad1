package store

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store/compiled"
)

// TestRowReaders: more links than there are connections read at once, while
// rows are written; each sees what is committed, in order.
func TestRowReaders(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s)
	const links = 3 * maxRowReaders
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range links {
		wg.Go(func() {
			for {
				known := s.Vector()[s.Origin()]
				b, err := s.Rows(t.Context(), s.Origin(), 0, replica.Limit{Rows: 1 << 20, Bytes: 1 << 30})
				if err != nil || b.To < known {
					t.Errorf("got up to %d, %v, want %d or more", b.To, err, known)
					return
				}
				if err := b.Validate(); err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 50 {
		newApplication(t, s, label.UID, "me")
	}
	close(stop)
	wg.Wait()
}

// TestRowsStopAtTheirLimit: what was read up to there leaves the connection
// ready for the next page.
func TestRowsStopAtTheirLimit(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s)
	for range 10 {
		newApplication(t, s, label.UID, "me")
	}
	var got int
	for after := uint64(0); after < s.Vector()[s.Origin()]; {
		b, err := s.Rows(t.Context(), s.Origin(), after, replica.Limit{Rows: 3, Bytes: 1 << 30})
		if err != nil || len(b.Rows) == 0 || len(b.Rows) > 3 {
			t.Fatalf("got %d rows, %v, want 1 to 3", len(b.Rows), err)
		}
		got, after = got+len(b.Rows), b.To
	}
	if want := len(rowsOf(t, s, s.Origin())); got != want {
		t.Errorf("got %d rows in pages, want %d", got, want)
	}
}

// TestRowReaderFails: a connection on which a read failed is replaced; after
// close there is none, and close may come again.
func TestRowReaderFails(t *testing.T) {
	s := openStore(t, testOptions(t))
	free, pool := newRowReaders(), s.db.readers
	broken := errors.New("broken")
	one := func(c *compiled.Conn) error {
		return c.Query("SELECT 1", func(compiled.Row) error { return nil })
	}
	for range 3 * maxRowReaders {
		if err := free.use(t.Context(), pool, func(*compiled.Conn) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("got %v, want the error of the read", err)
		}
		if err := free.use(t.Context(), pool, one); err != nil {
			t.Errorf("after a failure: %v", err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var held []*rowReader
	for range maxRowReaders {
		held = append(held, <-free)
	}
	if err := free.use(ended, pool, one); !errors.Is(err, context.Canceled) {
		t.Errorf("all are used: got %v, want the context's end", err)
	}
	for _, r := range held {
		free <- r
	}
	before := pool.Stats().InUse
	if err := errors.Join(free.close(), free.close()); err != nil {
		t.Error(err)
	}
	if err := free.use(t.Context(), pool, one); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: got %v, want ErrClosed", err)
	}
	if after := pool.Stats().InUse; after >= before && before > 0 {
		t.Errorf("%d connections are used after close, %d before", after, before)
	}
	if err := newRowReaders().close(); err != nil {
		t.Errorf("close of what was never opened: %v", err)
	}
}
