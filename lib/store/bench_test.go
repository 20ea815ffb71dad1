package store

import (
	"sync/atomic"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// BenchmarkUpdate writes one small durable state per operation, from 64
// goroutines.
func BenchmarkUpdate(b *testing.B) {
	s := openStore(b, testOptions(b))
	label := newLabel(b, s).UID
	apps := make([]model.UID, 64)
	for i := range apps {
		apps[i] = newApplication(b, s, label, "u").Application.UID
	}
	var next atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		app := apps[next.Add(1)%64]
		var n uint32
		for pb.Next() {
			n++
			if n%20 == 0 { // a life has few rows; do not fold thousands
				app = newApplication(b, s, label, "u").Application.UID
			}
			update(b, s, app, model.Change{States: []model.ApplicationState{{Status: model.StatusDeclined, Epoch: n}}})
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

// BenchmarkLife is a whole life of an application, durable: create, elect,
// intent, allocate, request, release.
func BenchmarkLife(b *testing.B) {
	s := openStore(b, testOptions(b))
	label := newLabel(b, s).UID
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			live(b, s, label)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lives/s")
}

func live(t testing.TB, s *Store, label model.UID) model.UID {
	app := newApplication(t, s, label, "u").Application.UID
	for _, c := range []model.Change{elected(app, 1), intent(1), allocated(1), requested()} {
		update(t, s, app, c)
	}
	e, err := s.Update(t.Context(), app, func(e *model.Entry) (model.Change, error) { return deallocated(e, 1), nil })
	if err != nil || !e.Done() {
		t.Errorf("Update = %v, %v, want a closed application", e, err)
	}
	return app
}

// BenchmarkApplication reads one live application from memory, from all cores.
func BenchmarkApplication(b *testing.B) {
	s := openStore(b, testOptions(b))
	label := newLabel(b, s).UID
	var app model.UID
	for range 1000 {
		app = newApplication(b, s, label, "u").Application.UID
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Application(b.Context(), app); err != nil {
				b.Error(err)
			}
		}
	})
}
