package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

func TestConfigChanges(t *testing.T) {
	cfg := config.Default()
	cfg.AuditFile = filepath.Join(t.TempDir(), "audit.log")
	entry := func(name, cfg string) config.DriverEntry {
		return config.DriverEntry{Name: name, Cfg: yamlconf.Raw(cfg)}
	}
	cfg.Drivers = []config.DriverEntry{entry("native", `{"download_password":"hidden-1"}`), entry("test", ``)}
	for _, tt := range []struct {
		name   string
		change func()
		want   string
	}{
		{"first", func() {}, "first start with this audit file"},
		{"same", func() {}, "config as at the last start"},
		{"values", func() { cfg.Retention, cfg.NodeLocation = time.Hour, "lab" },
			`config changed: node_location: "" -> "lab", retention: "168h0m0s" -> "1h0m0s"`},
		{"a driver's secret", func() { cfg.Drivers[0] = entry("native", `{"download_password":"hidden-2"}`) }, "config changed: drivers.native changed"},
		{"other drivers", func() { cfg.Drivers[1] = entry("test/a", ``) }, "config changed: drivers.test removed, drivers.test/a added"},
		{"rubbish", func() {
			if err := os.WriteFile(cfg.AuditFile+".config", []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "first start with this audit file"},
	} {
		tt.change()
		got, err := configChanges(&cfg)
		if got != tt.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
		kept, err := os.ReadFile(cfg.AuditFile + ".config")
		if err != nil || strings.Contains(string(kept), "hidden") {
			t.Errorf("%s: error %v, kept %s, want no secret", tt.name, err, kept)
		}
	}
	cfg.AuditFile = filepath.Join(cfg.AuditFile, "no folder")
	if got, err := configChanges(&cfg); err == nil || got == "" {
		t.Errorf("where nothing can be kept: %q, %v, want words and an error", got, err)
	}
}

func TestDriverEvents(t *testing.T) {
	noted := map[string]string{}
	ready := audit.Event{Action: audit.ActionDriverReady, ObjectName: "a", Result: audit.ResultOK}
	failed := audit.Event{Action: audit.ActionDriverLost, ObjectName: "b", Result: audit.ResultFailed, Detail: "no engine"}
	a, b := drivers.InstanceStatus{Name: "a", Ready: true}, drivers.InstanceStatus{Name: "b", Reason: "no engine"}
	other := failed
	other.Detail = "no rights"
	back := ready
	back.ObjectName = "b"
	for i, tt := range []struct {
		status []drivers.InstanceStatus
		want   []audit.Event
	}{
		{[]drivers.InstanceStatus{{Name: "b", Reason: "is not started yet", State: drivers.InstanceStarting}}, nil},
		{[]drivers.InstanceStatus{a, b}, []audit.Event{ready, failed}},
		{[]drivers.InstanceStatus{a, b}, nil},
		{[]drivers.InstanceStatus{a, {Name: "b", Reason: "no rights"}}, []audit.Event{other}},
		{[]drivers.InstanceStatus{a, {Name: "b", Ready: true}}, []audit.Event{back}},
	} {
		if diff := cmp.Diff(tt.want, driverEvents(noted, tt.status)); diff != "" {
			t.Errorf("look %d (-want +got):\n%s", i, diff)
		}
	}
}
