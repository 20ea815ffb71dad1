package audit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var day = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// written makes a file with the events, numbered and a minute apart.
func written(t testing.TB, list ...Event) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.log")
	var text []byte
	for i, e := range list {
		e.Seq, e.Time = int64(i+1), day.Add(time.Duration(i)*time.Minute)
		text = append(text, e.line()...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func numbers(list []Event) []int64 {
	var all []int64
	for _, e := range list {
		all = append(all, e.Seq)
	}
	return all
}

func TestQuery(t *testing.T) {
	path := written(t,
		Event{Action: "label.create", User: "admin", ObjectUID: "aa-1", Result: ResultOK},
		Event{Action: "label.remove", User: "admin", ObjectUID: "aa-1", Result: ResultOK},
		Event{Action: "labels", User: "eve", Result: ResultRefused},
		Event{Action: "login", User: "eve", Result: ResultLimited},
		Event{Action: "label.create", User: "eve", ObjectUID: "bb-2", Result: ResultRefused},
	)
	at := func(minute int) time.Time { return day.Add(time.Duration(minute) * time.Minute) }
	for _, tt := range []struct {
		name string
		q    Query
		want []int64
	}{
		{"everything", Query{}, []int64{5, 4, 3, 2, 1}},
		{"since", Query{Since: at(3)}, []int64{5, 4}},
		{"until", Query{Until: at(3)}, []int64{3, 2, 1}},
		{"between", Query{Since: at(1), Until: at(2)}, []int64{2}},
		{"user", Query{User: "eve"}, []int64{5, 4, 3}},
		{"action", Query{Action: "label.create"}, []int64{5, 1}},
		{"noun", Query{Action: "label"}, []int64{5, 2, 1}},
		{"object", Query{ObjectUID: "AA-1"}, []int64{2, 1}},
		{"result", Query{Result: ResultRefused}, []int64{5, 3}},
		{"all together", Query{User: "eve", Action: "label", Result: ResultRefused}, []int64{5}},
		{"nothing", Query{User: "nobody"}, nil},
	} {
		page, err := read(t.Context(), path, tt.q)
		if diff := cmp.Diff(tt.want, numbers(page.Events)); diff != "" || err != nil || page.Next != "" {
			t.Errorf("%s: error %v, next %q, events (-want +got):\n%s", tt.name, err, page.Next, diff)
		}
	}
}

func TestNothingIsThere(t *testing.T) {
	page, err := read(t.Context(), filepath.Join(t.TempDir(), "audit.log"), Query{})
	if err != nil || page.Events == nil || len(page.Events) > 0 || page.Next != "" {
		t.Errorf("read() = %+v, %v, want an empty page", page, err)
	}
}

func TestBadCursors(t *testing.T) {
	path := written(t, Event{Action: "a"})
	for _, cursor := range []string{"x", "LTEuMA", "MS4tMQ", "MS4wIA", position{1, 2}.cursor() + "A", "MDEuMA"} {
		if page, err := read(t.Context(), path, Query{Cursor: cursor}); !errors.Is(err, ErrBadCursor) {
			t.Errorf("cursor %q: %+v, %v, want ErrBadCursor", cursor, page, err)
		}
	}
	// One that points to a place that there is not, or into a line, finds what is before it and no rubbish.
	for _, p := range []position{{1, 1 << 40}, {1, 5}, {1 << 40, 0}} {
		page, err := read(t.Context(), path, Query{Cursor: p.cursor()})
		if err != nil || len(page.Events) > 1 {
			t.Errorf("cursor %+v: %+v, %v", p, page, err)
		}
	}
}

func TestReadStopsWithItsContext(t *testing.T) {
	path := written(t, Event{Action: "a"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := read(ctx, path, Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("read() error = %v, want that of the context", err)
	}
}

// TestAPageReadsNoMoreThanItsBudget: a search that finds nothing ends, and can be gone on with.
func TestAPageReadsNoMoreThanItsBudget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	one := Event{Seq: 1, Time: day, Action: "needle", Result: ResultOK}.line()
	hay := Event{Seq: 2, Time: day, Action: "hay", Result: ResultOK, Detail: strings.Repeat("x", maxDetail)}.line()
	text := append(one, bytes.Repeat(hay, (readBudget+1<<20)/len(hay))...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	page, err := read(t.Context(), path, Query{Action: "needle"})
	if err != nil || len(page.Events) != 0 || page.Next == "" {
		t.Fatalf("the first page = %+v, %v, want none and a cursor", page, err)
	}
	page, err = read(t.Context(), path, Query{Action: "needle", Cursor: page.Next})
	if err != nil || len(page.Events) != 1 || page.Next != "" && page.Events[0].Seq != 1 {
		t.Errorf("the second page = %+v, %v, want the needle", page, err)
	}
}

// TestRubbishIsSkipped: whatever stands in the file, the events in it are found, the lines as they were cut.
func TestRubbishIsSkipped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	rapid.Check(t, func(t *rapid.T) {
		var text []byte
		var want []int64
		for seq := int64(1); len(text) < 3*readChunk && seq < 40; seq++ {
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				n := rapid.IntRange(0, 2*readChunk).Draw(t, "length")
				text = append(text, bytes.Repeat([]byte{rapid.SampledFrom([]byte{'{', 'x', 0, '\n'}).Draw(t, "rubbish")}, n)...)
				text = append(text, '\n')
			case 1:
				line := Event{Seq: seq, Action: "torn"}.line()
				text = append(text, line[:rapid.IntRange(0, len(line)-2).Draw(t, "cut")]...)
				text = append(text, '\n')
			default:
				text = append(text, Event{Seq: seq, Action: "a", Detail: strings.Repeat("d", rapid.IntRange(0, maxDetail).Draw(t, "detail"))}.line()...)
				want = append([]int64{seq}, want...)
			}
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		var got []int64
		for q := (Query{Limit: rapid.IntRange(1, 5).Draw(t, "limit")}); ; {
			page, err := read(context.Background(), path, q)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, numbers(page.Events)...)
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("events (-want +got):\n%s", diff)
		}
	})
}

func BenchmarkReadNewest(b *testing.B) {
	list := make([]Event, 40_000)
	for i := range list {
		list[i] = Event{Action: "application.create", User: "jenkins", Address: "10.0.0.1", RequestID: "0a1b2c3d-zz", Result: ResultOK}
	}
	path := written(b, list...)
	for _, bb := range []struct {
		name string
		q    Query
	}{{"page", Query{}}, {"search", Query{User: "nobody"}}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := read(b.Context(), path, bb.q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
