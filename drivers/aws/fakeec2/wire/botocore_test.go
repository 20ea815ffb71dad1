package wire_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
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
	Result  object   `json:"result"`
	Unknown []string `json:"unknown"`
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Status  int      `json:"status"`
}

// serve serves a backend that wants signatures.
func serve(t *testing.T, backend cloud.API, o wire.Options) *wiretest.Server {
	t.Helper()
	o.Region = region
	o.Keys = map[string]string{keyID: secret}
	return wiretest.Serve(t, backend, o)
}

// library is a process that has botocore loaded, which takes longer than all
// that it does here.
type library struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// shared is the one library of all tests; TestMain ends it.
var shared struct {
	sync.Mutex
	*library
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.library != nil {
		shared.orders.Close() // which ends it
		if err := shared.cmd.Wait(); err != nil {
			fmt.Fprintln(os.Stderr, "botocore:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// python is one with aws-cli, whose libraries testdata/client.py uses.
func python(t *testing.T) string {
	t.Helper()
	return needs.Python(t, "awscli")
}

func startLibrary(t *testing.T) *library {
	t.Helper()
	l := &library{cmd: exec.Command(python(t), "testdata/client.py")}
	l.cmd.Env = wiretest.Environment("http://127.0.0.1:1", region, keyID, secret)
	l.cmd.Stderr = &l.stderr
	var err error
	if l.orders, err = l.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.out = bufio.NewReader(out)
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return l
}

// order lets botocore do something, and reads what it says.
func order(t *testing.T, what object, into any) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.library == nil {
		shared.library = startLibrary(t)
	}
	line, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = shared.orders.Write(append(line, '\n')); err == nil {
		line, err = shared.out.ReadBytes('\n')
	}
	if err != nil {
		shared.orders.Close()
		_ = shared.cmd.Wait() // after it everything that it said is there
		t.Fatalf("%v\n%s", err, shared.stderr.Bytes())
	}
	if err := json.Unmarshal(line, into); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
}

// botocore makes calls with the library that aws-cli is made of.
func botocore(t *testing.T, s *wiretest.Server, calls ...call) []outcome {
	t.Helper()
	var outcomes []outcome
	order(t, object{"endpoint": s.URL, "calls": calls}, &outcomes)
	if len(outcomes) != len(calls) {
		t.Fatalf("%d outcomes of %d calls", len(outcomes), len(calls))
	}
	return outcomes
}
