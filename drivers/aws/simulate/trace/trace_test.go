package trace

import (
	"bytes"
	"compress/gzip"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRead(t *testing.T) {
	swf := "; Version: 2.2\n; UnixStartTime: 1000\n" +
		"1 5 2 60 4 -1 -1 4 -1 -1 1 7 1 -1 3 -1 -1 -1\n" +
		"2 9 -1 -1 4 -1 -1 4 -1 -1 5 7 1 -1 3 2 -1 -1\n"
	github := `{"name":"test","workflow_name":"ci","labels":["self-hosted","macOS","ARM64"],"conclusion":"success",` +
		`"created_at":"2024-05-17T09:30:00Z","started_at":"2024-05-17T09:31:00Z","completed_at":"2024-05-17T09:41:30Z","steps":[{"name":"x"}]}` + "\n\n" +
		`{"conclusion":"skipped","created_at":"2024-05-17T09:30:00Z","started_at":"2024-05-17T09:30:00Z","completed_at":"2024-05-17T09:30:00Z"}` + "\n" +
		`{"created_at":"2024-05-17T09:30:00Z","started_at":"2024-05-17T09:30:05Z","completed_at":null}` + "\n" +
		`{"total_count":1,"jobs":[{"name":"b","labels":[],"started_at":"2024-05-17T09:00:00+02:00","completed_at":"2024-05-17T07:00:07Z"}]}`
	for _, tt := range []struct {
		name, text string
		format     Format
		want       Trace
	}{
		{
			"the original's header", "startTime,endTime,executionTime,jobName,stageName\n10,99,5,a,build\n", Auto,
			Trace{Jobs: []Job{{Arrival: 10, Run: 5, Name: "a", Stage: "build"}}},
		},
		{
			"more columns, other order, CRLF, BOM, empty lines", "\ufeffpool, executionTime,startTime,zone,label,arch,x\r\np,5,10,z,l,arm64,?\r\n\r\n", Auto,
			Trace{Jobs: []Job{{Arrival: 10, Run: 5, Pool: "p", Zone: "z", Label: "l", Arch: "arm64"}}},
		},
		{
			"sorted by arrival, equal ones as they stand", "startTime,executionTime,jobName\n30,1,a\n10,2,b\n30,3,c\n", CSV,
			Trace{Jobs: []Job{{Arrival: 10, Run: 2, Name: "b"}, {Arrival: 30, Run: 1, Name: "a"}, {Arrival: 30, Run: 3, Name: "c"}}},
		},
		{
			"parts of seconds, quotes", "startTime,executionTime,jobName\n10.5,1e1,\"a, b\"\n9.4,0,\n", CSV,
			Trace{Jobs: []Job{{Arrival: 9}, {Arrival: 11, Run: 10, Name: "a, b"}}},
		},
		{"swf", swf, Auto, Trace{Jobs: []Job{{Arrival: 1005, Run: 60, Name: "1", Label: "queue3"}}, LeftOut: 1}},
		{
			"github", github, Auto,
			Trace{Jobs: []Job{
				{Arrival: 1715929200, Run: 7, Stage: "b"},
				{Arrival: 1715938200, Run: 630, Name: "ci", Stage: "test", Label: "ARM64,macOS,self-hosted", Arch: "arm64"},
			}, LeftOut: 2},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Read("t", strings.NewReader(tt.text), tt.format)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	header := "startTime,endTime,executionTime,jobName,stageName\n"
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "t: no job in it (0 records that are no runs)"},
		{"only a header", header, "t: no job in it"},
		{"no header", "10,20,5,a,b\n", `t:1: no column "startTime": want the header startTime,endTime,executionTime,jobName,stageName`},
		{"twice", "startTime,starttime,executionTime\n", `t:1: column "starttime" is there twice`},
		{"no number", header + "10,20,5,a,b\nsoon,20,5,a,b\n", `t:3: startTime: got "soon", want seconds`},
		{"missing", header + "10,20\n", "t:2: executionTime is missing: want seconds"},
		{"negative run", header + "10,20,-5,a,b\n", "t:2: the job ends before it starts"},
		{"before 1970", header + "-10,20,5,a,b\n", "t:2: the job starts before 1970"},
		{"milliseconds", header + "1715938200000,0,5,a,b\n", "t:2: the job starts after the year 9999: want Unix time in seconds; is it in milliseconds?"},
		{"run of milliseconds", header + "1715938200,0,400000000,a,b\n", "t:2: the job runs for 400000000 seconds"},
		{"infinite", header + "Inf,0,5,a,b\n", `t:2: startTime: got "Inf", want seconds`},
		{"open quote", header + "1,0,5,\"a,b\n", "t:2: not a line of CSV"},
		{"swf", "; x\n1 2 3\n", "t:2: a line of SWF has 18 numbers, this one 3"},
		{"swf start", "; UnixStartTime: now\n", `t:1: UnixStartTime: got "now"`},
		{"json", "{\"name\":1}\n", "t:1: not a JSON object in one line: field name is a number"},
		{"array", "{}\n[]\n", "t:2: not a JSON object in one line"},
		{
			"github time", `{"created_at":"yesterday","started_at":"2024-05-17T09:31:00Z","completed_at":"2024-05-17T09:41:30Z"}`,
			`t:1: created_at: got "yesterday", want a time such as`,
		},
		{"ends before", `{"started_at":"2024-05-17T09:31:00Z","completed_at":"2024-05-17T09:30:00Z"}`, "t:1: the job ends before it starts"},
		{"no gzip", "\x1f\x8bnothing", "t: begins like gzip, but is not"},
		{"a line without end", "startTime,executionTime\n" + strings.Repeat("1", maxLine+1), "t:2: can not be read: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read("t", strings.NewReader(tt.text), Auto)
			wrong, ok := errors.AsType[*Error](err)
			if !ok || !strings.HasPrefix(wrong.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := Read("t", strings.NewReader("x"), "xml"); err == nil || !strings.Contains(err.Error(), `"xml": want auto, csv, swf or github`) {
		t.Errorf("unknown form: %v", err)
	}
}

func TestOpen(t *testing.T) {
	text := "startTime,executionTime\n10,5\n"
	packed := compress(t, text)
	file := filepath.Join(t.TempDir(), "jobs.csv.gz")
	if err := os.WriteFile(file, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile, err := Open(file, nil, Auto)
	if err != nil {
		t.Fatal(err)
	}
	fromInput, err := Open("-", bytes.NewReader(packed), Auto)
	if err != nil {
		t.Fatal(err)
	}
	want := Trace{Jobs: []Job{{Arrival: 10, Run: 5}}}
	if diff := cmp.Diff([]Trace{want, want}, []Trace{fromFile, fromInput}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := Open(file+"x", nil, Auto); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(file, packed[:30], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, nil, Auto); err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("half a file: %v", err)
	}
}

func compress(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is written is read again as it was.
func TestWriteCSV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-zé"',; ]{0,6}[a-z]|`)
		jobs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Job {
			return Job{
				Arrival: rapid.Int64Range(0, latest).Draw(t, "arrival"), Run: rapid.Int64Range(0, longest).Draw(t, "run"),
				Name: strings.TrimSpace(text.Draw(t, "name")), Stage: strings.TrimSpace(text.Draw(t, "stage")),
				Label: strings.TrimSpace(text.Draw(t, "label")), Pool: strings.TrimSpace(text.Draw(t, "pool")),
			}
		}), 1, 10).Draw(t, "jobs")
		var b bytes.Buffer
		if err := WriteCSV(&b, jobs); err != nil {
			t.Fatal(err)
		}
		written := b.String()
		got, err := Read("t", &b, CSV)
		if err != nil {
			t.Fatalf("%v of:\n%s", err, written)
		}
		want, run := map[Job]int{}, int64(0)
		for _, j := range jobs {
			want[j]++
			run += j.Run
		}
		for _, j := range got.Jobs {
			want[j]--
		}
		for j, n := range want {
			if n != 0 {
				t.Fatalf("%+v is there %d times too rarely in:\n%s", j, n, written)
			}
		}
		if got.Run() != run {
			t.Errorf("sum of runs %d, want %d", got.Run(), run)
		}
	})
}

func TestGenerate(t *testing.T) {
	a, err := Generate(Example())
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Generate(Example())
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("the same seed makes other jobs:\n%s", diff)
	}
	other := Example()
	other.Seed++
	if c, _ := Generate(other); cmp.Equal(a, c) {
		t.Error("another seed makes the same jobs")
	}
	if n, h := len(a.Jobs), a.Run()/3600; n < 3300 || n > 3500 || h < 2200 || h > 2400 {
		t.Errorf("%d jobs of %d h, want about 3400 of 2300 h", n, h)
	}
	var byHour [24]int
	var saturdays, wednesdays, short int
	for i, j := range a.Jobs {
		at := time.Unix(j.Arrival, 0).UTC()
		byHour[at.Hour()]++
		switch at.Weekday() {
		case time.Saturday:
			saturdays++
		case time.Wednesday:
			wednesdays++
		}
		if j.Run < 30*60 {
			short++
		}
		if at.Before(Example().Start) || !at.Before(Example().Start.AddDate(0, 0, 28)) || j.Run < 1 {
			t.Fatalf("job %d is out of its time: %v, %d s", i, at, j.Run)
		}
	}
	if byHour[10] < 5*byHour[2] || wednesdays < 4*saturdays || short < len(a.Jobs)*45/100 || short > len(a.Jobs)*60/100 {
		t.Errorf("no days, weeks or short jobs: %v, %d on Wednesdays, %d on Saturdays, %d under half an hour", byHour, wednesdays, saturdays, short)
	}
}

func TestGenerateErrors(t *testing.T) {
	for name, change := range map[string]func(*Workload){
		"days": func(w *Workload) { w.Days = 0 }, "jobs": func(w *Workload) { w.Jobs = -1 },
		"mean": func(w *Workload) { w.Mean = 0 }, "hardly any": func(w *Workload) { w.Jobs = 1e-9 }, "no number": func(w *Workload) { w.Jobs = math.NaN() },
		"too early": func(w *Workload) { w.Start = time.Unix(-1, 0) }, "too late": func(w *Workload) { w.Start = time.Unix(latest, 0) },
	} {
		w := Example()
		change(&w)
		if _, err := Generate(w); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("startTime,executionTime\n1,2\n"))
	f.Add([]byte("; UnixStartTime: 5\n1 5 2 60 4 -1 -1 4 -1 -1 1 7 1 -1 3 -1 -1 -1\n"))
	f.Add([]byte(`{"started_at":"2024-05-17T09:31:00Z","completed_at":"2024-05-17T09:32:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Read("t", bytes.NewReader(data), Auto)
		if err != nil {
			return
		}
		for i, j := range got.Jobs {
			if j.Arrival < 0 || j.Run < 0 || i > 0 && j.Arrival < got.Jobs[i-1].Arrival {
				t.Fatalf("job %d: %+v", i, j)
			}
		}
	})
}
