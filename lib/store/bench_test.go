package store

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
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
	for _, c := range []model.Change{ofNode(elected(app, 1), s), intent(1), allocated(1), requested()} {
		update(t, s, app, c)
	}
	e, err := s.Update(t.Context(), app, func(e *model.Entry) (model.Change, error) { return deallocated(e, 1), nil })
	if err != nil || !e.Done() {
		t.Errorf("Update = %v, %v, want a closed application", e, err)
	}
	return app
}

// historySize is how many finished applications must not be felt.
const historySize = 1_000_000

// withHistory fills a database with finished applications, straight by SQL.
func withHistory(b *testing.B, size int) Options {
	b.Helper()
	o := testOptions(b)
	s := openStore(b, o)
	live(b, s, newLabel(b, s).UID)
	newApplication(b, s, s.Labels()[0].UID, "u")
	count := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", size)
	for _, statement := range []string{
		"BEGIN IMMEDIATE",
		"INSERT INTO applications " + count + "SELECT CAST(printf('%016d', i) AS BLOB), zeroblob(16), 'u', '{}', i, i, zeroblob(16), i + 9 FROM n",
		"INSERT INTO application_states " + count + "SELECT NULL, CAST(printf('%016d', 2*i) AS BLOB), CAST(printf('%016d', i) AS BLOB), " +
			"'NEW', 'Just created', i, i, 0, zeroblob(16), NULL FROM n",
		"INSERT INTO application_states " + count + "SELECT NULL, CAST(printf('%016d', 2*i+1) AS BLOB), CAST(printf('%016d', i) AS BLOB), " +
			"'ERROR', 'Ended', i, i, 1, zeroblob(16), NULL FROM n",
		"COMMIT",
	} {
		err := s.alone(b.Context(), func() error { _, err := s.db.writer.ExecContext(b.Context(), statement); return err })
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return o
}

// BenchmarkHistory is what 1,000,000 finished applications cost a node: its
// start, a write, a read of a live application and one of a finished one.
func BenchmarkHistory(b *testing.B) {
	o := withHistory(b, historySize)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s, err := Open(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	s := openStore(b, o)
	app := s.Open()[0].Application.UID
	b.Run("live", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Application(b.Context(), app); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("finished", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := s.Application(b.Context(), model.UID(fmt.Appendf(nil, "%016d", i*7919%historySize+1))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("life", func(b *testing.B) {
		for b.Loop() {
			live(b, s, s.Labels()[0].UID)
		}
	})
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

// BenchmarkApplicationGone is what each key of the feed costs its readers that
// retention has removed.
func BenchmarkApplicationGone(b *testing.B) {
	s := openStore(b, testOptions(b))
	for b.Loop() {
		if _, err := s.Application(b.Context(), testNode); !errors.Is(err, ErrNotFound) {
			b.Fatal(err)
		}
	}
}

// BenchmarkUseAccess is what a login waits for at the node of the environment.
func BenchmarkUseAccess(b *testing.B) {
	s := openStore(b, testOptions(b))
	resource := allocate(b, s, newLabel(b, s).UID).Resource.UID
	took := make([]time.Duration, 0, b.N)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		a := newAccess(b, s, resource, fmt.Sprint(i))
		b.StartTimer()
		start := time.Now()
		if _, err := s.UseAccess(b.Context(), aUse(a.UID, 1)); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

// BenchmarkAccessMemory is what unused credentials take in memory, with a key of
// Ed25519.
func BenchmarkAccessMemory(b *testing.B) {
	const environments = 500
	for b.Loop() {
		book := newAccessBook()
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range environments {
			var set *accessSet
			for j := range maxUnused {
				a := model.ResourceAccess{UID: model.UID{byte(i), byte(i >> 8), byte(j)}, Digest: digestOf(fmt.Sprint(i, j)), PublicKey: make([]byte, 51)}
				a.PublicKey[0], a.PublicKey[1], a.PublicKey[2], a.ExpiresAt = byte(i), byte(i>>8), byte(j), time.Now().Add(time.Hour)
				a.UserName = fmt.Sprint("user", i)
				set = set.withAccess(a, nil, time.Now())
			}
			book.put(model.UID{byte(i), byte(i >> 8)}, set)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/environments/maxUnused, "B/access")
		runtime.KeepAlive(book)
	}
}

// BenchmarkReplicate takes in rows of whole lives of another node, 200 at a time.
func BenchmarkReplicate(b *testing.B) {
	const lives = 2000
	from := openOther(b, 1)
	label := newLabel(b, from).UID
	for range lives {
		live(b, from, label)
	}
	rows := from.Vector()[from.Origin()]
	for b.Loop() {
		b.StopTimer()
		o := testOptions(b)
		o.Folder += "-" + from.uids.New(time.Now()).String()
		s := openStore(b, o)
		b.StartTimer()
		for s.Vector()[from.Origin()] < from.Vector()[from.Origin()] {
			batch, err := from.Rows(b.Context(), from.Origin(), s.Vector()[from.Origin()], replica.Limit{Rows: 200, Bytes: 1 << 20})
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Replicate(b.Context(), []replica.Batch{batch}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkLifeInMemory is BenchmarkLife over a Disk: what a simulator pays.
func BenchmarkLifeInMemory(b *testing.B) {
	s := openOther(b, 1)
	label := newLabel(b, s).UID
	b.ResetTimer()
	for range b.N {
		live(b, s, label)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lives/s")
}

// BenchmarkDigests sums up the rows of many applications.
func BenchmarkDigests(b *testing.B) {
	s := openStore(b, testOptions(b))
	fillRows(b, s, digestRows)
	for _, tt := range []struct {
		name    string
		horizon time.Time
	}{{"all", time.Unix(0, 0)}, {"none", time.Now().Add(time.Hour)}} {
		b.Run(tt.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Digests(b.Context(), tt.horizon); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("bucket", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Bucket(b.Context(), replica.Bucket{Kind: replica.KindApplicationState, Number: 7, Horizon: time.Unix(0, 0)}, nil,
				replica.Limit{Rows: 1 << 20, Bytes: 1 << 30}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

const digestRows = 200_000

// fillRows writes closed applications of three states with their rows, by SQL.
func fillRows(b *testing.B, s *Store, rows int) {
	b.Helper()
	count := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", rows/4)
	place := s.db.origins.id(s.origin) << seqBits
	body := fmt.Sprintf("'{\"uid\":\"%s\"}'", strings.Repeat("x", 300))
	statements := []string{"BEGIN IMMEDIATE", "INSERT INTO applications " + count +
		"SELECT CAST(printf('%016d', i) AS BLOB), zeroblob(16), 'u', '{}', i, i, zeroblob(16), i + 9 FROM n"}
	statements = append(statements, "INSERT INTO sync_rows (id, kind, key, hlc, body) "+count+
		fmt.Sprintf("SELECT %d + 4*i, 6, CAST(printf('%%016d', i) AS BLOB), i, CAST(%s AS BLOB) FROM n", place, body))
	for k := 1; k <= 3; k++ {
		statements = append(statements, "INSERT INTO application_states "+count+
			fmt.Sprintf("SELECT NULL, CAST(printf('%%016d', 4*i+%d) AS BLOB), CAST(printf('%%016d', i) AS BLOB), ", k)+
			"'ERROR', 'Ended', i, i, 1, zeroblob(16), NULL FROM n",
			"INSERT INTO sync_rows (id, kind, key, hlc, body) "+count+
				fmt.Sprintf("SELECT %d + 4*i+%d, 7, CAST(printf('%%016d', 4*i+%d) AS BLOB), i, CAST(%s AS BLOB) FROM n", place, k, k, body))
	}
	statements = append(statements, "COMMIT")
	for _, statement := range statements {
		if err := s.alone(b.Context(), func() error { _, err := s.db.writer.ExecContext(b.Context(), statement); return err }); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
}

// BenchmarkRows reads what a life has just written, as each link does.
func BenchmarkRows(b *testing.B) {
	s := openStore(b, testOptions(b))
	label := newLabel(b, s).UID
	for range 100 {
		newApplication(b, s, label, "me")
	}
	after := s.Vector()[s.Origin()] - 8
	b.ReportAllocs()
	for b.Loop() {
		got, err := s.Rows(b.Context(), s.Origin(), after, replica.Limit{Rows: 500, Bytes: 1 << 20})
		if err != nil || len(got.Rows) != 8 {
			b.Fatalf("got %d rows, %v, want 8", len(got.Rows), err)
		}
	}
}
