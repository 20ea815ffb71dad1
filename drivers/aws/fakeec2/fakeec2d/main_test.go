package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// start runs the command until the end of the test and returns its address.
func start(t *testing.T, args ...string) (endpoint string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args, in, in)
		in.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// do makes one request and returns its answer.
func do(t *testing.T, method, endpoint, contentType, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(read)
}

// ec2 asks for something with parameters such as "Action=DescribeVpcs".
func ec2(t *testing.T, endpoint string, params ...string) (status int, answer string) {
	t.Helper()
	form := url.Values{"Version": {"2016-11-15"}}
	for _, param := range params {
		name, value, _ := strings.Cut(param, "=")
		form.Add(name, value)
	}
	return do(t, http.MethodPost, endpoint, "application/x-www-form-urlencoded", form.Encode())
}

// orderOf gives an order and returns what it says.
func orderOf(t *testing.T, method, endpoint, body string, into any) int {
	t.Helper()
	status, answer := do(t, method, endpoint, "application/json", body)
	if into != nil {
		if err := json.Unmarshal([]byte(answer), into); err != nil {
			t.Fatalf("%v in %d %s", err, status, answer)
		}
	}
	return status
}

// first is what a pattern finds in a text.
func first(t *testing.T, pattern, text string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in %s", pattern, text)
	}
	return found[1]
}

// TestDay buys a host, tries to give it back at once, and again a day later.
func TestDay(t *testing.T) {
	at := start(t, "--quick")
	var limits map[string]float64
	if status := orderOf(t, "POST", at+"/_fake/quota", `{"L-5D8DADF5": 1}`, &limits); status != 200 {
		t.Fatal(status)
	}
	status, answer := ec2(t, at, "Action=AllocateHosts", "Quantity=1", "AutoPlacement=off", "InstanceType=mac2.metal", "AvailabilityZone=eu-central-1a", "ClientToken=t")
	if status != 200 {
		t.Fatal(status, answer)
	}
	host := first(t, `<item>(h-[0-9a-f]+)</item>`, answer)
	_, answer = ec2(t, at, "Action=ReleaseHosts", "HostId.1="+host)
	first(t, `(Client.HostMinAllocationPeriodUnexpired)`, answer)
	var turned timeReply
	if status := orderOf(t, "POST", at+"/_fake/clock", `{"by": "24h1m"}`, &turned); status != 200 || time.Until(turned.Now) < 24*time.Hour {
		t.Fatal(status, turned)
	}
	_, answer = ec2(t, at, "Action=ReleaseHosts", "HostId.1="+host)
	if got := first(t, `<successful><item>(.*)</item></successful>`, answer); got != host {
		t.Error(answer)
	}
	var bills []struct{ ID string }
	orderOf(t, "GET", at+"/_fake/bills", "", &bills)
	if len(bills) != 1 || bills[0].ID != host {
		t.Errorf("bills: %+v", bills)
	}
	var entries []entry
	orderOf(t, "GET", at+"/_fake/journal", "", &entries)
	if !slices.ContainsFunc(entries, func(e entry) bool { return e.Action == "AllocateHosts" && e.IDs[0] == host }) {
		t.Errorf("journal: %+v", entries)
	}
	var permissions map[string]int
	orderOf(t, "GET", at+"/_fake/permissions", "", &permissions)
	if permissions["ec2:ReleaseHosts"] != 2 || len(permissions) != 2 {
		t.Errorf("permissions: %v", permissions)
	}
}

// TestFaults orders what goes wrong, on the wire and at the service.
func TestFaults(t *testing.T) {
	at := start(t)
	orderOf(t, "POST", at+"/_fake/fault", `{"action": "DescribeVpcs", "count": 1, "do": "refuse", "status": 503, "code": "RequestLimitExceeded", "pause": "1ms"}`, nil)
	status, answer := ec2(t, at, "Action=DescribeVpcs")
	if status != 503 || !strings.Contains(answer, "RequestLimitExceeded") {
		t.Error(status, answer)
	}
	orderOf(t, "POST", at+"/_fake/fault", `{"do": "refuse", "status": 500}`, nil)
	orderOf(t, "DELETE", at+"/_fake/fault", "", nil)
	if status, answer := ec2(t, at, "Action=DescribeVpcs"); status != 200 {
		t.Error(status, answer)
	}
	orderOf(t, "POST", at+"/_fake/outage", `{"for": "30m"}`, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader("Action=DescribeVpcs&Version=2016-11-15"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Errorf("answered with %d in an outage", resp.StatusCode)
	}
	orderOf(t, "POST", at+"/_fake/clock", `{"by": "31m"}`, nil)
	if status, answer := ec2(t, at, "Action=DescribeVpcs"); status != 200 {
		t.Error(status, answer)
	}
}

// TestSecrets: user data are nothing for a screen.
func TestSecrets(t *testing.T) {
	at := start(t, "--quick")
	_, answer := ec2(t, at, "Action=DescribeSubnets")
	subnet := first(t, `<subnetId>(.*?)<`, answer)
	_, answer = ec2(t, at, "Action=DescribeImages", "Filter.1.Name=name", "Filter.1.Value.1=ci-linux*")
	image := first(t, `<imageId>(.*?)<`, answer)
	status, answer := ec2(t, at, "Action=RunInstances", "MinCount=1", "MaxCount=1", "ImageId="+image, "InstanceType=m5.large", "SubnetId="+subnet,
		"UserData=dG9wIHNlY3JldA==", "ClientToken=t", "InstanceMarketOptions.MarketType=spot")
	if status != 200 {
		t.Fatal(status, answer)
	}
	id := first(t, `<instanceId>(.*?)<`, answer)
	if _, calls := do(t, "GET", at+"/_fake/calls", "", ""); strings.Contains(calls, "dG9w") || !strings.Contains(calls, "(16 characters)") {
		t.Error(calls)
	}
	if status := orderOf(t, "POST", at+"/_fake/interrupt", `{"id": "`+id+`"}`, nil); status != 200 {
		t.Error("interrupt:", status)
	}
	orderOf(t, "POST", at+"/_fake/clock", `{"by": "3m"}`, nil)
	if _, answer := ec2(t, at, "Action=DescribeInstances"); !strings.Contains(answer, "Server.SpotInstanceTermination") {
		t.Error(answer)
	}
	orderOf(t, "DELETE", at+"/_fake/calls", "", nil)
	if _, calls := do(t, "GET", at+"/_fake/calls", "", ""); strings.TrimSpace(calls) != "[]" {
		t.Error(calls)
	}
}

// TestWrongOrders are refused with what is wrong.
func TestWrongOrders(t *testing.T) {
	at := start(t)
	for path, body := range map[string]string{
		"clock": `{"by": "-1h"}`, "fault": `{"do": "explode"}`, "outage": `{"until": "noon"}`, "interrupt": `{"id": "i-1"}`, "quota": `[]`,
	} {
		if status, answer := do(t, "POST", at+"/_fake/"+path, "application/json", body); status != 400 || strings.TrimSpace(answer) == "" {
			t.Errorf("%s %s: %d %s", path, body, status, answer)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range []string{
		"--listen=0.0.0.0:0", "--listen=:0", "--listen=192.0.2.1:80", "--listen=127.0.0.1", "--listen=host.example:0", "--speed=0", "--key-id=x",
		"--secret=x", "more", "--nothing",
	} {
		var stdout, stderr bytes.Buffer
		if err := run(t.Context(), []string{args}, &stdout, &stderr); err == nil || stdout.Len() > 0 {
			t.Errorf("%s: %v, %q", args, err, stdout.String())
		}
	}
}

// TestClock: the machine's time, faster, and turned forward.
func TestClock(t *testing.T) {
	c := newClock(1000)
	before := c.now()
	for c.now().Sub(before) < 5*time.Second { // 5 ms of the machine
		time.Sleep(time.Millisecond)
	}
	c.turn(time.Hour)
	if passed := c.now().Sub(before); passed < time.Hour+5*time.Second || passed > time.Hour+10*time.Minute {
		t.Errorf("%v passed", passed)
	}
}

// TestCLI lets aws itself ask, with the key of the command line and another one.
func TestCLI(t *testing.T) {
	needs.Unhurried(t, "starts aws twice")
	python := needs.Python(t, "awscli")
	at := start(t, "--quick", "--key-id", "AKIDX", "--secret", "s3cret")
	for _, tt := range []struct{ args, keyID, want string }{
		{"ec2 describe-subnets --query length(Subnets) --output json", "AKIDX", "3\n"},
		{"sts get-caller-identity", "AKIDY", "InvalidClientTokenId"},
	} {
		cmd := exec.CommandContext(t.Context(), python, append([]string{"-m", "awscli"}, strings.Fields(tt.args)...)...)
		cmd.Env = wiretest.Environment(at, "eu-central-1", tt.keyID, "s3cret")
		if out, err := cmd.CombinedOutput(); !strings.Contains(string(out), tt.want) {
			t.Errorf("aws %s says %q (%v), want %q", tt.args, out, err, tt.want)
		}
	}
}
