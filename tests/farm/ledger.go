package farm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Ledger is what the test drivers of all nodes wrote down (evidence_file), in
// the order in which it happened on this machine.
type Ledger []Entry

// Entry is one line: an environment is about to be, or is gone.
type Entry struct {
	Monotonic   time.Duration `json:"monotonic"` // of the machine
	Event       string        `json:"event"`     // "started" or "stopped"
	Node        string        `json:"node"`
	Instance    string        `json:"instance"`
	Application string        `json:"application"`
	Token       string        `json:"token"`
	Identifier  string        `json:"identifier"`
}

// Execution is one grant of an application carried out: by one node, with one
// token, however often that node was killed over it.
type Execution struct {
	Node, Instance, Token string
}

func (e Entry) execution() Execution { return Execution{e.Node, e.Instance, e.Token} }

func (e Execution) String() string {
	return fmt.Sprintf("%s on %.8s (token %.8s)", e.Instance, e.Node, e.Token)
}

// ReadLedger reads the file; one that is not there yet is empty.
func ReadLedger(path string) (Ledger, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	var all Ledger
	for line := range bytes.Lines(text) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("read ledger: line %d: %w", len(all)+1, err)
		}
		if e.Event != "started" && e.Event != "stopped" {
			return nil, fmt.Errorf("read ledger: line %d says %q", len(all)+1, e.Event)
		}
		all = append(all, e)
	}
	return all, nil
}

// Verdict is what a ledger proves.
type Verdict struct {
	// Applications is how many were started at all.
	Applications int
	// AtOnce tells of applications that two executions ran at one time.
	AtOnce []string
	// Again tells of those that were started once more after they had ended.
	Again []string
	// Running are the executions that nobody stopped, by application.
	Running map[string][]Execution
}

// Judge reads the ledger. An environment counts from just before it is made to
// just after it is gone: what overlaps here may have missed each other by a
// step, but what does not overlap here did not run at once.
func (l Ledger) Judge() Verdict {
	v := Verdict{Running: map[string][]Execution{}}
	ended := map[string][]Execution{}
	seen := map[string]bool{}
	for _, e := range l {
		app, now := e.Application, e.execution()
		seen[app] = seen[app] || e.Event == "started"
		open := v.Running[app]
		at := slices.Index(open, now)
		switch {
		case e.Event == "stopped" && at >= 0:
			v.Running[app] = slices.Delete(open, at, at+1)
			ended[app] = append(ended[app], now)
		case e.Event == "stopped", at >= 0: // said again after a kill
		default:
			if len(open) > 0 {
				v.AtOnce = append(v.AtOnce, fmt.Sprintf("%s: %v started at %v while %v ran", app, now, e.Monotonic, open))
			}
			if len(ended[app]) > 0 {
				v.Again = append(v.Again, fmt.Sprintf("%s: %v started at %v after %v had ended", app, now, e.Monotonic, ended[app]))
			}
			v.Running[app] = append(open, now)
		}
	}
	maps.DeleteFunc(v.Running, func(_ string, open []Execution) bool { return len(open) == 0 })
	for _, started := range seen {
		if started {
			v.Applications++
		}
	}
	return v
}

// Once says what is wrong where every application may run once and on one
// node: "" is nothing.
func (v Verdict) Once() string { return strings.Join(slices.Concat(v.AtOnce, v.Again), "\n") }

// Left says what still runs: "" is nothing.
func (v Verdict) Left() string {
	var b strings.Builder
	for _, app := range slices.Sorted(maps.Keys(v.Running)) {
		fmt.Fprintf(&b, "%s: %v\n", app, v.Running[app])
	}
	return b.String()
}

// Nodes is where each application was started, by its UID.
func (l Ledger) Nodes() map[string]string {
	where := map[string]string{}
	for _, e := range l {
		if e.Event == "started" {
			where[e.Application] = e.Node
		}
	}
	return where
}
