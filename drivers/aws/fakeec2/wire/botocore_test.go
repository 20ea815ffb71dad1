package wire_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

const (
	region = "eu-central-1"
	keyID  = "AKIDEXAMPLE"
	secret = "a secret / of+letters"
)

// object is one of JSON.
type object = map[string]any

type list = []any

// call is one call that botocore makes.
type call struct {
	Service   string `json:"service"`
	Operation string `json:"operation"`
	Params    object `json:"params,omitempty"`
	As        *int   `json:"as,omitempty"`       // the number of a call of AssumeRole
	Endpoint  string `json:"endpoint,omitempty"` // another server
}

func ec2(operation string, params object) call {
	return call{Service: "ec2", Operation: operation, Params: params}
}

// outcome is what botocore read.
type outcome struct {
	Result    object   `json:"result"`
	Unknown   []string `json:"unknown"`
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Status    int      `json:"status"`
	RequestID string   `json:"request_id"`
}

// serve serves a backend that wants signatures.
func serve(t *testing.T, backend cloud.API, o wire.Options) *wiretest.Server {
	t.Helper()
	o.Region = region
	o.Keys = map[string]string{keyID: secret}
	return wiretest.Serve(t, backend, o)
}

// needPython ends the test where there is no aws-cli, whose libraries the
// scripts use.
func needPython(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("python3", "-c", "import importlib.util as u; assert u.find_spec('botocore') or u.find_spec('awscli')").CombinedOutput(); err != nil {
		needs.Lacking(t, "needs python3 with awscli:", err, string(out))
	}
}

// botocore makes calls with the library that aws-cli is made of.
func botocore(t *testing.T, s *wiretest.Server, calls ...call) []outcome {
	t.Helper()
	needPython(t)
	input, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "testdata/client.py", s.URL)
	cmd.Env = wiretest.Environment(s.URL, region, keyID, secret)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var outcomes []outcome
	if err := json.Unmarshal(out, &outcomes); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(outcomes) != len(calls) {
		t.Fatalf("%d outcomes of %d calls", len(outcomes), len(calls))
	}
	return outcomes
}
