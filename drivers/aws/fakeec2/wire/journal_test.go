package wire_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
)

// ask asks a handler without a network.
func ask(h *wire.Handler, header http.Header, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func formHeader() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
}

func jsonHeader(target string) http.Header {
	return http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {target}}
}

// TestJournal: every request is noted once, also with many at a time.
func TestJournal(t *testing.T) {
	h := wire.New(newWorld(), wire.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 25 {
				ask(h, formHeader(), fmt.Sprintf("Action=DeleteVolume&Version=2016-11-15&VolumeId=vol-%d-%d", i, j))
			}
		})
	}
	wg.Wait()
	ask(h, jsonHeader("TrentService.ListAliases"), "{}")
	if want := map[string]int{"ec2:DeleteVolume": 200, "kms:ListAliases": 1}; !maps.Equal(h.Permissions(), want) {
		t.Errorf("Permissions() = %v, want %v", h.Permissions(), want)
	}
	ids := map[string]bool{}
	for i, c := range h.CallsOf("DeleteVolume") {
		if c.N != i+1 || c.Status != 200 || ids[c.RequestID] {
			t.Errorf("call %d is %+v", i, c)
		}
		ids[c.RequestID] = true
	}
	h.Forget()
	ask(h, jsonHeader("TrentService.ListAliases"), "{}")
	if calls := h.Calls(); len(calls) != 1 || calls[0].N != 202 || len(h.Permissions()) != 1 {
		t.Errorf("after Forget: %+v", calls)
	}
}

// TestJournalEnds: it keeps the last calls, with their numbers and answers.
func TestJournalEnds(t *testing.T) {
	h := wire.New(newWorld(), wire.Options{MaxCalls: 10})
	for range 47 {
		ask(h, formHeader(), "Action=DescribeVpcs&Version=2016-11-15")
	}
	calls := h.Calls()
	if n := len(calls); n < 10 || n > 20 || calls[n-1].N != 47 || calls[0].N != 48-n {
		t.Errorf("%d calls from %d to %d", n, calls[0].N, calls[n-1].N)
	}
	for _, c := range calls {
		if c.Status != 200 {
			t.Errorf("call %d has status %d", c.N, c.Status)
		}
	}
	if h.Permissions()["ec2:DescribeVpcs"] != 47 {
		t.Errorf("Permissions() = %v", h.Permissions())
	}
}

// TestRefusalsInJSON is of requests to KMS and Service Quotas.
func TestRefusalsInJSON(t *testing.T) {
	for _, tt := range []struct{ name, target, body, code string }{
		{"no such service", "DynamoDB.GetItem", "{}", "UnknownOperationException"},
		{"no such action", "TrentService.Decrypt", "{}", "UnknownOperationException"},
		{"no JSON", "TrentService.DescribeKey", "KeyId=1", "SerializationException"},
		{"no object", "TrentService.DescribeKey", "[]", "SerializationException"},
		{"nothing", "TrentService.DescribeKey", "{}", "ValidationException"},
		{"typo", "TrentService.DescribeKey", `{"KeyId":"alias/fish","Key":"x"}`, "UnknownParameter"},
		{"list", "TrentService.DescribeKey", `{"KeyId":["alias/fish"]}`, "ValidationException"},
		{"unknown key", "TrentService.DescribeKey", `{"KeyId":"alias/none"}`, "NotFoundException"},
		{"page", "TrentService.ListAliases", `{"Limit":0}`, "ValidationException"},
		{"marker", "TrentService.ListAliases", `{"Marker":"x"}`, "InvalidMarkerException"},
		{"other service's quotas", "ServiceQuotasV20190624.ListServiceQuotas", `{"ServiceCode":"s3"}`, "NoSuchResourceException"},
		{"page of quotas", "ServiceQuotasV20190624.ListServiceQuotas", `{"ServiceCode":"ec2","MaxResults":101}`, "IllegalArgumentException"},
		{"token of quotas", "ServiceQuotasV20190624.ListServiceQuotas", `{"ServiceCode":"ec2","NextToken":"x"}`, "InvalidPaginationTokenException"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(wire.New(newWorld(), wire.Options{}), jsonHeader(tt.target), tt.body)
			if w.Code != 400 || !strings.Contains(w.Body.String(), `"__type":"`+tt.code+`"`) {
				t.Errorf("answered with %d %s, want %s", w.Code, w.Body, tt.code)
			}
		})
	}
}

// TestBodies is of what is no request at all.
func TestBodies(t *testing.T) {
	h := wire.New(newWorld(), wire.Options{})
	for name, w := range map[string]*httptest.ResponseRecorder{
		"no form":   ask(h, http.Header{"Content-Type": {"text/plain"}}, "Action=DescribeVpcs&Version=2016-11-15"),
		"no type":   ask(h, http.Header{}, "Action=DescribeVpcs&Version=2016-11-15"),
		"escapes":   ask(h, formHeader(), "Action=%zz"),
		"too large": ask(h, formHeader(), "Action=DescribeVpcs&Version=2016-11-15&X="+strings.Repeat("x", 1<<20)),
		"empty":     ask(h, formHeader(), ""),
	} {
		if w.Code != 400 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestNonsense changes good requests at random: each is answered, and what is
// not understood as a whole never reaches the backend.
func TestNonsense(t *testing.T) {
	good := url.Values{
		"Action": {"RunInstances"}, "Version": {"2016-11-15"}, "MinCount": {"1"}, "MaxCount": {"1"}, "ImageId": {"ami-1"}, "InstanceType": {"x"},
		"SubnetId": {"s"}, "BlockDeviceMapping.1.DeviceName": {"d"}, "BlockDeviceMapping.1.Ebs.DeleteOnTermination": {"true"},
		"BlockDeviceMapping.1.Ebs.VolumeSize": {"8"}, "UserData": {"AAAA"},
		"TagSpecification.1.ResourceType": {"instance"}, "TagSpecification.1.Tag.1.Key": {"k"}, "TagSpecification.1.Tag.1.Value": {"v"},
		"TagSpecification.2.ResourceType": {"volume"}, "TagSpecification.2.Tag.1.Key": {"k"}, "TagSpecification.2.Tag.1.Value": {"v"},
		"TagSpecification.3.ResourceType": {"network-interface"}, "TagSpecification.3.Tag.1.Key": {"k"}, "TagSpecification.3.Tag.1.Value": {"v"},
	}
	names := slices.Sorted(maps.Keys(good))
	want := cloud.Launch{ImageID: "ami-1", Type: "x", SubnetID: "s", Disks: []cloud.Disk{{Device: "d", SizeGB: 8}}, UserData: []byte{0, 0, 0}, Tags: cloud.Tags{"k": "v"}}
	rapid.Check(t, func(rt *rapid.T) {
		form := url.Values{}
		maps.Copy(form, good)
		for range rapid.IntRange(0, 3).Draw(rt, "changes") {
			name := rapid.SampledFrom(names).Draw(rt, "name")
			switch rapid.IntRange(0, 2).Draw(rt, "change") {
			case 0:
				form.Del(name)
			case 1:
				form[name] = []string{rapid.String().Draw(rt, "value")}
			case 2:
				form[name+rapid.StringMatching(`[.A-Za-z0-9]{1,3}`).Draw(rt, "more")] = []string{"1"}
			}
		}
		w := newWorld()
		h := wire.New(w, wire.Options{})
		got := ask(h, formHeader(), form.Encode())
		if got.Code != 200 && (got.Code < 400 || got.Code > 499) && got.Code != 501 {
			rt.Fatalf("%v is answered with %d %s", form, got.Code, got.Body)
		}
		if asked := len(w.heard()) > 0; asked != (got.Code == 200) {
			rt.Fatalf("answered with %d, and the backend was asked: %v", got.Code, asked)
		}
		if form.Encode() == good.Encode() {
			if diff := cmp.Diff(want, w.heard()[0]); diff != "" {
				rt.Fatalf("the backend was asked for (-want +got):\n%s", diff)
			}
		}
	})
}

// TestForgetMeanwhile: a request that is forgotten before its answer is answered
// all the same.
func TestForgetMeanwhile(t *testing.T) {
	h := wire.New(newWorld(), wire.Options{})
	if err := h.Fault(wire.Fault{Do: wire.Refuse, Status: 503, Code: "Unavailable", Hook: func(wire.Call) { h.Forget() }}); err != nil {
		t.Fatal(err)
	}
	w := ask(h, formHeader(), "Action=DescribeVpcs&Version=2016-11-15")
	if id := w.Header().Get("X-Amzn-Requestid"); w.Code != 503 || !strings.Contains(w.Body.String(), "<RequestID>"+id+"</RequestID>") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if calls := h.Calls(); len(calls) != 0 {
		t.Errorf("still noted: %+v", calls)
	}
}
