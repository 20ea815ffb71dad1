package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// evidence is a file in which many nodes of one machine write down what their
// environments did, for a test that has to know from outside whether two ever
// ran one application. Its order is that of the machine: every line is one
// write at the end of the file.
type evidence struct {
	path  string // empty: nobody wants to know
	owner owner
}

// What a line can say. Started is written before the environment exists and
// stopped after it is gone, so that what is written never lasts shorter than
// what was. Both come again where a kill cut the first one's step short.
const (
	evidenceStarted = "started"
	evidenceStopped = "stopped"
)

// evidenceLine is one line of the file, as JSON.
type evidenceLine struct {
	Monotonic   time.Duration `json:"monotonic"` // of the machine, in ns: no clock that can be set
	Event       string        `json:"event"`
	Node        model.UID     `json:"node"`
	Instance    string        `json:"instance"`
	Application model.UID     `json:"application"`
	Token       string        `json:"token"`
	Identifier  string        `json:"identifier"`
}

// note writes one line. Without it the environment must not start or count as
// gone: what is not written down proves nothing.
func (v evidence) note(event string, e entry) error {
	if v.path == "" {
		return nil
	}
	line, err := json.Marshal(evidenceLine{
		Monotonic: monotonic(), Event: event, Node: v.owner.node, Instance: v.owner.instance,
		Application: e.application, Token: e.token, Identifier: e.identifier,
	})
	if err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	f, err := os.OpenFile(v.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("write evidence (make the folder of evidence_file, or leave the key out): %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	return nil
}
