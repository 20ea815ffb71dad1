package simulate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

// outcomes is what a run came to: some sums, and a digest of each job's wait
// and each host's account.
type outcomes struct {
	Paid, Pending, Queued int64
	Hosts                 int
	Digest                string
}

func outcomesOf(w *world) outcomes {
	total := w.meter.total()
	sum := sha256.New()
	for _, n := range w.waits {
		_ = binary.Write(sum, binary.LittleEndian, n)
	}
	for i := range w.hosts {
		h := &w.hosts[i]
		_ = binary.Write(sum, binary.LittleEndian, []int64{h.allocated, h.released})
		_ = binary.Write(sum, binary.LittleEndian, h.spent[:])
	}
	return outcomes{
		Paid: total.paid(), Pending: total[pending], Queued: total[queued], Hosts: len(w.hosts), Digest: hex.EncodeToString(sum.Sum(nil)[:6]),
	}
}

// TestSame: what is made faster comes to the same, to the second, for each job
// and each host. The figures are from when the pool went through all hosts and
// all who waited in each step; they change only where the pool is to decide otherwise.
func TestSame(t *testing.T) {
	whole := trace.Example()
	jobs, err := trace.Generate(whole)
	if err != nil {
		t.Fatal(err)
	}
	zoned := make([]trace.Job, len(jobs.Jobs))
	for i, j := range jobs.Jobs {
		j.Zone = []string{"", "a", "b", ""}[i%4]
		zoned[i] = j
	}
	scarce := func(p *Pool) {
		p.Zones, p.Capacity, p.Quota, p.Max = []string{"a", "b"}, map[string]int{"a": 12}, 35, 40
		p.Scrub, p.Boot, p.IdleDelay, p.PendingToAvailable = Between(40*time.Minute, 110*time.Minute), Between(6*time.Minute, 20*time.Minute), 20*time.Minute, 3*time.Minute
	}
	zones := func(p *Pool) { p.Zones = []string{"a", "b"} }
	for _, tt := range []struct {
		name            string
		scrub, patience time.Duration
		change          func(*Pool)
		jobs            []trace.Job
		want            outcomes
	}{
		{"plain", 0, 0, nil, jobs.Jobs, outcomes{45374487, 18252000, 7007, 715, "8efc7e9a17a0"}},
		{"scrubbing", 5 * time.Minute, 0, nil, jobs.Jobs, outcomes{14964343, 84148200, 10775, 1112, "d24300218832"}},
		{"patience", 0, time.Hour, nil, jobs.Jobs, outcomes{26446961, 18252000, 3687670, 432, "cc3708e9a8ba"}},
		{"both", time.Minute, 2 * time.Hour, nil, jobs.Jobs, outcomes{10448618, 33496200, 8433589, 399, "cfc68e8a92c8"}},
		{"scarce", 5 * time.Minute, 0, scarce, jobs.Jobs, outcomes{16446720, 42975047, 534578, 585, "04a54ecde419"}},
		{"scarce, with patience", 5 * time.Minute, 90 * time.Minute, scarce, jobs.Jobs, outcomes{14346184, 29706514, 4389284, 395, "dec9d5798007"}},
		{"zones", 5 * time.Minute, 0, zones, zoned, outcomes{15668564, 94429800, 12084, 1237, "549c00320e1c"}},
		{"zones, with patience", 5 * time.Minute, time.Hour, zones, zoned, outcomes{11399450, 36563400, 3647219, 456, "9b01e54d169c"}},
		{"zones, scarce, with patience", 0, 3 * time.Hour, scarce, zoned, outcomes{26043842, 15087377, 5941943, 384, "6ccead95e331"}},
	} {
		p := Default()
		p.Max, p.ScrubbingDelay, p.Patience = 100, tt.scrub, tt.patience
		if tt.change != nil {
			tt.change(&p)
		}
		w := newWorld(p, tt.jobs, 3, 3600)
		if err := w.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, outcomesOf(w)); diff != "" {
			t.Errorf("%s: -before +now:\n%s", tt.name, diff)
		}
	}
}
