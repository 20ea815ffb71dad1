package aws

import (
	"os/exec"
	"strings"
	"testing"
)

// TestOnlyTheBinaryWaitsForTheSDK: AWS's SDK takes minutes to compile, so that
// nothing but its adapter and the binary are to link it, tests included; and the
// binary not either, if it is built without it.
func TestOnlyTheBinaryWaitsForTheSDK(t *testing.T) {
	t.Parallel()
	const module = "github.com/aquarium-fish/aquarium-fish/"
	linking := func(args ...string) (all []string) {
		list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-f", "{{.ImportPath}} {{join .Deps \" \"}}"}, args...)...)
		list.Dir = "../.."
		out, err := list.Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if name, deps, _ := strings.Cut(line, " "); strings.Contains(deps, "github.com/aws/aws-sdk-go-v2/service/ec2") {
				all = append(all, strings.TrimPrefix(name, module))
			}
		}
		return all
	}
	with := linking("-test", "./...")
	for _, name := range with {
		if !strings.HasPrefix(name, "drivers/aws/awssdk") && !strings.HasPrefix(name, "cmd/aquarium-fish") {
			t.Errorf("%s links AWS's SDK", name)
		}
	}
	if len(with) == 0 {
		t.Error("nothing links AWS's SDK: this tests nothing")
	}
	if without := linking("-tags", "noaws", "./cmd/..."); len(without) > 0 {
		t.Errorf("built with noaws, these link AWS's SDK: %v", without)
	}
}
