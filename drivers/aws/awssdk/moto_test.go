package awssdk_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloudtest"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// The images that moto is told of: it makes no difference between ours and others'.
const (
	motoImage    = "ami-0123456789abcdef0"
	motoMacImage = "ami-0123456789abcdef1"
)

// TestMoto is the SDK against moto, which others wrote by AWS's documentation and
// by what AWS answered them. Where it is not like EC2, motoDiffers says why.
func TestMoto(t *testing.T) {
	needs.Unhurried(t, "moto takes seconds")
	url := startMoto(t)
	cloudtest.Run(t, cloudtest.Harness{Differs: motoDiffers(), New: func(t *testing.T) cloudtest.Fixture {
		response, err := http.Post(url+"/moto-api/reset", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		f := cloudtest.Fixture{
			API: dialIn(t, "us-east-1", url), Image: motoImage, Type: "t3.micro", MacImage: motoMacImage, MacType: "mac2.metal", Key: "alias/aws/ebs",
		}
		if err := f.FindNetwork(t.Context()); err != nil {
			t.Fatal(err)
		}
		return f
	}})
}

// startMoto starts a moto server on a port of its own, which ends with the test.
func startMoto(t *testing.T) (url string) {
	t.Helper()
	python := needs.Python(t, "moto.server")
	cmd := exec.Command(python, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0")
	cmd.Env = append(wiretest.Environment("", region, keyID, secret), "MOTO_AMIS_PATH="+motoImages(t), "PYTHONUNBUFFERED=1",
		"MOTO_ENABLE_AMI_VALIDATION=true", "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION=true")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	var said strings.Builder
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if found := regexp.MustCompile(`Running on (http://127\.0\.0\.1:[0-9]+)`).FindStringSubmatch(lines.Text()); found != nil {
			go io.Copy(io.Discard, out) // until its end, which Cleanup waits for
			return found[1]
		}
	}
	t.Fatalf("moto did not start:\n%s", said.String())
	return ""
}

// motoImages is the file of the images that moto has.
func motoImages(t *testing.T) string {
	t.Helper()
	var images []map[string]any
	for id, architecture := range map[string]string{motoImage: "x86_64", motoMacImage: "arm64_mac"} {
		images = append(images, map[string]any{
			"ami_id": id, "name": "of-the-test-" + architecture, "owner_id": "123456789012", "architecture": architecture, "state": "available",
			"root_device_name": "/dev/sda1", "root_device_type": "ebs", "virtualization_type": "hvm", "hypervisor": "xen",
		})
	}
	data, err := json.Marshal(images)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "images.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
