package test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		name, cfg string
		want      []string // all in the error; none: it is accepted
	}{
		{"nothing", "", nil},
		{"everything of the contract", "is_remote: false\nworkspace_path: w\ncpu_limit: 4\nram_limit: 8\ncpu_overbook: 1\n" +
			"ram_overbook: 1\nfail_config_apply: 0\nfail_config_validate: 0\nfail_status: 9\nfail_snapshot: 254\nfail_deallocate: 255", nil},
		{"JSON", `{"cpu_limit":4}`, nil},
		{"chance out of range", "a: 1\nfail_snapshot: 256", []string{"line 2", "fail_snapshot", "from 0 to 255"}},
		{"chance of the wrong type", "fail_snapshot: often", []string{"fail_snapshot", "from 0 to 255"}},
		{"negative limit", "cpu_limit: -1", []string{"cpu_limit", "from 0"}},
		{"no workspace", `workspace_path: ""`, []string{"line 1", "workspace_path"}},
		{"bad delay", "delay_task: soon", []string{"delay_task", "such as 30s"}},
		{"negative delays", "delay_task: -1s\ndelay_allocate: -2s", []string{"line 1: delay_task", "line 2: delay_allocate"}},
		{"crash without leave", "crash_allocate: before", []string{"line 1: crash_allocate", "allow_crash: true"}},
		{"crash with leave", "allow_crash: true\ncrash_allocate: claimed:3\ncrash_task: any:5%\ncrash_deallocate: removed", nil},
		{"crash at no point", "allow_crash: true\ncrash_task: removed", []string{"crash_task", "before, after, any"}},
		{"crash at pass 0", "allow_crash: true\ncrash_task: before:0", []string{"crash_task", "third pass"}},
		{"crash at 101 percent", "allow_crash: true\ncrash_task: before:101%", []string{"crash_task"}},
		{"no mapping", "- a", []string{"want `key: value`"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := readSettings([]byte(tt.cfg))
			if (err != nil) != (tt.want != nil) {
				t.Fatalf("readSettings() = %v, want %q", err, tt.want)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("readSettings() = %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestUnknownKeyIsAWarning(t *testing.T) {
	log := new(bytes.Buffer)
	_, err := New(t.Context(), drivers.Config{Instance: "test", Logger: slog.New(slog.NewTextHandler(log, nil)),
		Cfg: []byte("workspace_path: " + t.TempDir() + "\ncpu_limits: 4\n")})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "key=cpu_limits line=2") {
		t.Errorf("log = %s, want a warning with key and line", log)
	}
}

func TestOptions(t *testing.T) {
	zero := options{}
	for _, tt := range []struct {
		name, raw string
		want      options
		err       string
	}{
		{"nothing", ``, zero, ""},
		{"null", `null`, zero, ""},
		{"null value", `{"fail_allocate":null}`, zero, ""},
		{"unknown names", `{"images":[{"url":"x"}],"fail":"always"}`, zero, ""},
		{"any case", `{"FAIL_allocate":7}`, options{failAllocate: 7}, ""},
		{"delays", `{"delay_allocate":"1s","delay_task":"0"}`, options{delays: delays{allocate: time.Second}}, ""},
		{"crash", `{"crash_task":"after:2"}`, options{crashes: crashes{task: crashSpec{point: "after", pass: 2}}}, ""},
		{"no crash after all", `{"crash_task":""}`, zero, ""},
		{"a list", `[]`, zero, "options: got [], want a JSON object"},
		{"chance too large", `{"fail_allocate":256}`, zero, "option fail_allocate: got 256, want an integer from 0 to 255"},
		{"chance below 0", `{"fail_options_apply":-1}`, zero, "option fail_options_apply"},
		{"chance of the wrong type", `{"fail_options_validate":"1"}`, zero, "option fail_options_validate"},
		{"part of a chance", `{"fail_available_capacity":0.5}`, zero, "option fail_available_capacity"},
		{"delay of the wrong type", `{"delay_allocate":3}`, zero, `option delay_allocate: got 3, want a duration`},
		{"negative delay", `{"delay_allocate":"-3s"}`, zero, `option delay_allocate: got "-3s", want a duration`},
		{"hang as a word", `{"hang_allocate":"yes"}`, zero, "option hang_allocate: got \"yes\", want true or false"},
		{"crash nowhere", `{"crash_allocate":"sometime"}`, zero, "option crash_allocate: got \"sometime\", want one of before"},
		{"very long", `{"delay_task":"` + strings.Repeat("x", 5000) + `"}`, zero, "option delay_task"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got options
			err := got.read(json.RawMessage(tt.raw), true)
			if tt.err == "" {
				if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(options{}, delays{}, crashes{}, crashSpec{})); err != nil || diff != "" {
					t.Errorf("read(%s) error %v (-want +got):\n%s", tt.raw, err, diff)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.err) || len(err.Error()) > 300 {
				t.Errorf("read(%s) = %v, want a short error with %q", tt.raw, err, tt.err)
			}
		})
	}
}

func TestOptionsGoOverTheConfiguration(t *testing.T) {
	d := open(t, t.TempDir(), "test", node, "allow_crash: true\ndelay_task: 1m\ncrash_task: before:1000\n")
	o, err := d.options(definition(`{"delay_allocate":"2s"}`))
	want := options{delays: delays{allocate: 2 * time.Second, task: time.Minute},
		crashes: crashes{task: crashSpec{point: "before", pass: 1000}}}
	if diff := cmp.Diff(want, o, cmp.AllowUnexported(options{}, delays{}, crashes{}, crashSpec{})); err != nil || diff != "" {
		t.Errorf("options() error %v (-want +got):\n%s", err, diff)
	}
}
