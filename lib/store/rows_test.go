package store

import (
	"sync"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestRowsForManyLinks: more links than there are connections read at once, while
// rows are written; each sees what is committed, in order.
func TestRowsForManyLinks(t *testing.T) {
	s := openStore(t, testOptions(t))
	label := newLabel(t, s)
	const links = 12
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
