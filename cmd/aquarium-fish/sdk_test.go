package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// slow is what takes minutes to compile.
const slow = "github.com/aws/aws-sdk-go-v2/service/ec2"

// TestWhoCompilesTheSDK: only the package for it and the binary wait for AWS's
// SDK, and the binary does not have to.
func TestWhoCompilesTheSDK(t *testing.T) {
	needs.Unhurried(t, "lists all packages")
	const own = "github.com/aquarium-fish/aquarium-fish"
	with := 0
	for _, p := range packagesWithSDK(t, "-test", own+"/...") {
		with++
		if !strings.HasPrefix(p, own+"/drivers/aws/awssdk") && !strings.HasPrefix(p, own+"/cmd/aquarium-fish") {
			t.Errorf("%s compiles AWS's SDK", p)
		}
	}
	if with < 2 {
		t.Errorf("%d packages compile AWS's SDK: the test looks for the wrong thing", with)
	}
	if list := packagesWithSDK(t, "-tags=noaws", own+"/cmd/aquarium-fish"); len(list) != 0 {
		t.Errorf("with the tag noaws these compile AWS's SDK: %v", list)
	}
}

// packagesWithSDK are the packages, and binaries of tests, that the SDK is compiled for.
func packagesWithSDK(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-f", `{{.ImportPath}} {{join .Deps " "}} `}, args...)...)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, " "+slow+" ") {
			list = append(list, strings.Fields(line)[0])
		}
	}
	return list
}
