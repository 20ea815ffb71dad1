package tests

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestManyLabels lists what 300 labels amount to after years of versions: it
// is quick, and costs the node next to nothing.
func TestManyLabels(t *testing.T) {
	const labels, longest, most = 3000, 200 * time.Millisecond, 30 << 10 // KB
	n := fish.Start(t, fish.Options{})
	var g errgroup.Group
	g.SetLimit(64)
	for i := range labels {
		body := fmt.Sprintf(`{"name":"label-%d","version":%d,"metadata":{"JENKINS_AGENT_WORKSPACE":"/home/jenkins"},"definitions":[`+
			`{"driver":"test","options":{"images":[{"url":"https://artifacts.example.com/image-%d.tar.xz","sum":"sha256:%064d"}]},`+
			`"resources":{"cpu":4,"ram":8,"disks":{"ws":{"type":"dir","size":20}},"node_filter":["OS:linux"]}}]}`, i%300, i/300, i, i)
		g.Go(func() error {
			got, err := n.Do(t.Context(), "POST", labelsPath, []byte(body), "")
			if err == nil && got.Status != 200 {
				err = fmt.Errorf("%d %s", got.Status, got.Body)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	before := resident(t, n.PID())
	best := time.Hour
	var size int
	for range 10 {
		start := time.Now()
		got := n.Request("GET", labelsPath, nil)
		best, size = min(best, time.Since(start)), len(got.Body)
		if count := strings.Count(string(got.Body), `"UID":`); count != labels {
			t.Fatalf("%d labels are listed, want %d", count, labels)
		}
	}
	more := resident(t, n.PID()) - before
	t.Logf("%d labels, %d KB: %v, %d KB more resident than the %d before", labels, size>>10, best, more, before)
	if best > longest {
		t.Errorf("the quickest of ten lists took %v, want at most %v", best, longest)
	}
	if more > most {
		t.Errorf("ten lists made the node grow by %d KB, want at most %d", more, most)
	}
}

// resident is how much memory of the machine a process holds, in KB; 0 where
// the system does not tell it in a file.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if os.IsNotExist(err) {
		t.Log("memory is not measured: there is no /proc")
		return 0
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if err != nil || m == nil {
		t.Fatalf("read memory of the node: %v in %q", err, text)
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb
}
