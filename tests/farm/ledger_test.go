package farm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ledger makes one of lines such as "started a app1 t1": event, node,
// application, token.
func ledger(lines ...string) Ledger {
	var l Ledger
	for _, line := range lines {
		part := strings.Fields(line)
		l = append(l, Entry{Event: part[0], Node: part[1], Application: part[2], Token: part[3], Instance: "test"})
	}
	return l
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name                string
		ledger              Ledger
		apps, atOnce, again int
		running             string // all that runs
	}{
		{"nothing", nil, 0, 0, 0, ""},
		{"two lives on two nodes", ledger("started a x 1", "started b y 2", "stopped a x 1", "stopped b y 2"), 2, 0, 0, ""},
		{"one runs on", ledger("started a x 1"), 1, 0, 0, "x"},
		{"killed while starting, twice", ledger("started a x 1", "started a x 1", "started a x 1", "stopped a x 1"), 1, 0, 0, ""},
		{"killed while stopping", ledger("started a x 1", "stopped a x 1", "stopped a x 1"), 1, 0, 0, ""},
		{"stopped what never started", ledger("stopped a x 1"), 0, 0, 0, ""},
		{"on two nodes at once", ledger("started a x 1", "started b x 2", "stopped a x 1", "stopped b x 2"), 1, 1, 0, ""},
		{"one of two runs on", ledger("started a x 1", "started b x 2", "stopped a x 1"), 1, 1, 0, "x"},
		{"twice at once on one node", ledger("started a x 1", "started a x 2"), 1, 1, 0, "x"},
		{"on one node, then on another", ledger("started a x 1", "stopped a x 1", "started b x 2", "stopped b x 2"), 1, 0, 1, ""},
		{"on one node twice", ledger("started a x 1", "stopped a x 1", "started a x 1"), 1, 0, 1, "x"},
		{"three at once", ledger("started a x 1", "started b x 2", "started c x 3"), 1, 2, 0, "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := tt.ledger.Judge()
			if v.Applications != tt.apps || len(v.AtOnce) != tt.atOnce || len(v.Again) != tt.again {
				t.Errorf("Judge() = %+v, want %d applications, %d at once, %d again", v, tt.apps, tt.atOnce, tt.again)
			}
			if got := v.Left(); strings.HasPrefix(got, tt.running+":") == (tt.running == "") {
				t.Errorf("left: %q, want %q", got, tt.running)
			}
			if (v.Once() == "") != (tt.atOnce+tt.again == 0) {
				t.Errorf("Once() = %q", v.Once())
			}
		})
	}
}

func TestReadLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evidence")
	if l, err := ReadLedger(path); len(l) != 0 || err != nil {
		t.Errorf("of no file: %v, %v", l, err)
	}
	for text, want := range map[string]int{
		"": 0, `{"event":"started","node":"a","application":"x","monotonic":5}` + "\n" + `{"event":"stopped"}` + "\n": 2,
		`{"event":"started"`: -1, `{"event":"paused"}` + "\n": -1,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := ReadLedger(path)
		if (err != nil) != (want < 0) || err == nil && len(l) != want {
			t.Errorf("of %q: %v, %v", text, l, err)
		}
		if want == 2 && (l[0].Monotonic != 5 || l.Nodes()["x"] != "a") {
			t.Errorf("of %q: %+v", text, l)
		}
	}
}
