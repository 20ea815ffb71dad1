package simulate

import (
	"cmp"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// contextOf is the context of a test or of a property.
func contextOf(t any) context.Context {
	if t, ok := t.(interface{ Context() context.Context }); ok {
		return t.Context()
	}
	return context.Background()
}

// Events come by time, and those of one time in the order of their foreseeing.
func TestQueueOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var want []event
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "pop") > 0 {
				q.push(event{at: rapid.Int64Range(0, 9).Draw(t, "at")})
				want = append(want, q.heap[slices.IndexFunc(q.heap, func(e event) bool { return e.seq == q.seq })])
				continue
			}
			slices.SortFunc(want, func(a, b event) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq)) })
			next, some := q.next()
			e, ok := q.pop()
			if ok != (len(want) > 0) || some != ok {
				t.Fatalf("pop is %v, next is %v, with %d in it", ok, some, len(want))
			}
			if !ok {
				continue
			}
			if e != want[0] || next != e.at {
				t.Fatalf("got %+v, want %+v", e, want[0])
			}
			want = want[1:]
		}
	})
}

// Hours are split at the borders of months in UTC, and years are told apart.
func TestMeterMonths(t *testing.T) {
	start := time.Date(2023, time.December, 31, 23, 59, 50, 0, time.UTC).Unix()
	m := newMeter(start, 3600)
	m.count[idle] = 2
	m.advance(start + 15)
	m.count[idle], m.count[pending] = 1, 1
	m.advance(start + 15)
	m.advance(time.Date(2025, time.January, 1, 0, 0, 1, 0, time.UTC).Unix())
	got := map[string]amounts{}
	for _, month := range m.months {
		got[at(month.start).Format("2006-01")] = month.amounts
	}
	if len(got) != 14 || got["2023-12"] != (amounts{idle: 20}) || got["2025-01"] != (amounts{idle: 1, pending: 1}) {
		t.Errorf("months: %v", got)
	}
	if february, want := got["2024-02"], int64(29*86400); february != (amounts{idle: want, pending: want}) {
		t.Errorf("February of a leap year: %v, want %d s", february, want)
	}
	whole := int64(366*86400 + 1) // from the start of 2024 on
	if sum, want := m.total(), (amounts{idle: 20 + 2*5 + whole - 5, pending: whole - 5}); sum != want {
		t.Errorf("sum %v, want %v", sum, want)
	}
}

func TestParseSpread(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "measured")
	if err := os.WriteFile(file, []byte("# of March\n5400\n1h50m\n\n40m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(dir, "wrong")
	if err := os.WriteFile(wrong, []byte("90m\nlong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for _, tt := range []struct {
		text      string
		low, high int64
		shown     string
	}{
		{"90m", 5400, 5400, "1h30m"}, {"0s", 0, 0, "0s"}, {"40m-110m", 2400, 6600, "40m-1h50m"}, {"@" + file, 2400, 6600, "@" + file},
	} {
		s, err := ParseSpread(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		least, most := int64(1<<60), int64(0)
		for range 5000 {
			n := s.draw(random)
			least, most = min(least, n), max(most, n)
		}
		if tolerance := (tt.high - tt.low) / 100; least < tt.low || least > tt.low+tolerance || most > tt.high || most < tt.high-tolerance {
			t.Errorf("%s: %d to %d, want %d to %d", tt.text, least, most, tt.low, tt.high)
		}
		if s.String() != tt.shown {
			t.Errorf("%s is shown as %s", tt.text, s)
		}
	}
	for text, want := range map[string]string{
		"": `"" is no time: want a time such as 90m, a range such as 40m-110m, or @FILE`, "90": `"90" is no time`, "2h-1h": "ends before it starts",
		"1h-": `"" is no time: want a range`, "-1h": `"" is no time`, "200h": "200h is out of range: want 0s to 168h", "1500ms": "no whole number of seconds",
		"@" + dir + "/none": "open measured times", "@" + empty: "no measured time in it", "@" + wrong: wrong + `:2: "long" is no time`,
	} {
		if _, err := ParseSpread(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// Half of the jobs waited as long as P50 or less, and 95 of 100 as P95 or less;
// who did not wait counts.
func TestWaitOf(t *testing.T) {
	for _, tt := range []struct {
		waits []int32
		want  Wait
	}{
		{nil, Wait{}}, {[]int32{7}, Wait{7, 7, 7}}, {[]int32{9, 0, 0, 0}, Wait{0, 9, 9}},
		{append(slices.Repeat([]int32{0}, 95), 5, 4, 3, 2, 1), Wait{0, 0, 5}},
		{append(slices.Repeat([]int32{0}, 94), 5, 4, 3, 2, 1, 1), Wait{0, 1, 5}},
	} {
		if got := waitOf(slices.Clone(tt.waits)); got != tt.want {
			t.Errorf("%v: got %+v, want %+v", tt.waits, got, tt.want)
		}
	}
}

func TestTimeMarks(t *testing.T) {
	start := time.Date(2026, time.March, 4, 13, 20, 0, 0, time.UTC)
	for _, tt := range []struct {
		span        time.Duration
		first, last string
	}{
		{time.Hour, "4 Mar 13:20", "4 Mar 14:20"}, {20 * time.Hour, "4 Mar 14:00", "5 Mar 08:00"}, {10 * 24 * time.Hour, "5 Mar", "14 Mar"},
		{60 * 24 * time.Hour, "9 Mar", "27 Apr"}, {366 * 24 * time.Hour, "Apr 2026", "Mar 2027"}, {3000 * 24 * time.Hour, "Oct 2026", "May 2034"},
	} {
		layout, marks := timeMarks(start.Unix(), start.Add(tt.span).Unix())
		if len(marks) < 3 || len(marks) > 16 {
			t.Fatalf("%v: %d marks", tt.span, len(marks))
		}
		shown := []string{at(marks[0]).Format(layout), at(marks[len(marks)-1]).Format(layout)}
		if diff := gocmp.Diff([]string{tt.first, tt.last}, shown); diff != "" {
			t.Errorf("%v: -want +got:\n%s", tt.span, diff)
		}
	}
}

func TestNiceStep(t *testing.T) {
	for least, want := range map[float64]float64{0: 1, 0.3: 1, 1: 1, 1.1: 2, 3: 5, 7: 10, 12: 20, 333: 500} {
		if got := niceStep(least); got != want {
			t.Errorf("niceStep(%g) = %g, want %g", least, got, want)
		}
	}
}
