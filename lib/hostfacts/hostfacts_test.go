package hostfacts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The keys of gopsutil v3, per part.
var shapes = map[string]string{
	"cpu":   "cpu vendorId family model stepping physicalId coreId cores modelName mhz cacheSize flags microcode",
	"disks": "path fstype total free used usedPercent inodesTotal inodesUsed inodesFree inodesUsedPercent",
	"host": "hostname uptime bootTime procs os platform platformFamily platformVersion kernelVersion kernelArch " +
		"virtualizationSystem virtualizationRole hostId",
	"memory": "total available used usedPercent free active inactive wired laundry buffers cached writeBack dirty " +
		"writeBackTmp shared slab sreclaimable sunreclaim pageTables swapCached commitLimit committedAS highTotal " +
		"highFree lowTotal lowFree swapTotal swapFree mapped vmallocTotal vmallocUsed vmallocChunk hugePagesTotal " +
		"hugePagesFree hugePagesRsvd hugePagesSurp hugePageSize anonHugePages",
	"nets": "index mtu name hardwareAddr flags addrs",
}

type definition struct {
	CPU    []map[string]any          `json:"cpu"`
	Disks  map[string]map[string]any `json:"disks"`
	Host   map[string]any            `json:"host"`
	Memory map[string]any            `json:"memory"`
	Nets   []map[string]any          `json:"nets"`
}

func decode(t *testing.T, d Definition) definition {
	t.Helper()
	raw, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("null")) {
		t.Errorf("a null is in %s", raw)
	}
	var got definition
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatalf("decode %s: %v", raw, err)
	}
	return got
}

func checkKeys(t *testing.T, part string, got map[string]any) {
	t.Helper()
	want := strings.Fields(shapes[part])
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("%s (-want +got):\n%s", part, diff)
	}
}

func TestThisHost(t *testing.T) {
	var log bytes.Buffer
	got := decode(t, Collect(t.Context(), 10*time.Second, slog.New(slog.NewTextHandler(&log, nil))))
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
	if len(got.CPU) == 0 || len(got.Nets) == 0 {
		t.Fatalf("%d cpus, %d nets", len(got.CPU), len(got.Nets))
	}
	checkKeys(t, "cpu", got.CPU[0])
	checkKeys(t, "disks", got.Disks["/"])
	checkKeys(t, "host", got.Host)
	checkKeys(t, "memory", got.Memory)
	checkKeys(t, "nets", got.Nets[0])
	if got.Memory["total"] == 0.0 || got.Disks["/"]["total"] == 0.0 || got.Host["hostname"] == "" {
		t.Errorf("memory %v, disk %v, host %v", got.Memory["total"], got.Disks["/"]["total"], got.Host["hostname"])
	}
}

func TestFailingProbesLeaveTheShape(t *testing.T) {
	var log bytes.Buffer
	var failing []probe
	release := make(chan struct{})
	defer close(release)
	for i, p := range systemProbes() {
		find := func(context.Context) (func(*Definition), error) { return nil, errors.New("no such thing here") }
		if i%2 == 1 {
			find = func(context.Context) (func(*Definition), error) { <-release; return nil, nil }
		}
		failing = append(failing, probe{p.name, find})
	}
	start := time.Now()
	got := decode(t, collect(t.Context(), 50*time.Millisecond, slog.New(slog.NewTextHandler(&log, nil)), failing))
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if got.CPU == nil || got.Nets == nil || len(got.CPU)+len(got.Nets) != 0 {
		t.Errorf("cpu %v, nets %v: want empty lists", got.CPU, got.Nets)
	}
	checkKeys(t, "disks", got.Disks["/"])
	checkKeys(t, "host", got.Host)
	checkKeys(t, "memory", got.Memory)
	for part := range shapes {
		if !strings.Contains(log.String(), "part="+part) {
			t.Errorf("%s is not in the log:\n%s", part, log.String())
		}
	}
}

func BenchmarkCollect(b *testing.B) {
	for b.Loop() {
		Collect(b.Context(), DefaultTimeout, slog.New(slog.DiscardHandler))
	}
}
