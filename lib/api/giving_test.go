package api

import (
	"strings"
	"testing"
)

// TestCreateWhileGiving: what a node accepted after it handed over what waits would wait until the node is back. It takes
// nothing, here as for another member, and does the rest.
func TestCreateWhileGiving(t *testing.T) {
	f := newFarm(t)
	label := f.a.label(t, "linux")
	kept := f.a.application(t, label, "alice").Application.UID
	f.a.giving.Store(true)
	for name, at := range map[string]*node{"its own client": f.a, "another member's, which has no such label yet": f.c} {
		r := create(t, at, label, "")
		r.wantRetry(t, name)
		if !strings.Contains(r.body, "ask another node") {
			t.Errorf("%s is told %s, want what to do", name, r.body)
		}
	}
	if n := len(f.a.store.Open()); n != 1 {
		t.Errorf("%d applications, want the one of before", n)
	}
	if r := f.a.do(t, call{user: "alice", path: "/api/v1/application/" + kept.String() + "/state"}); r.status != 200 {
		t.Errorf("what was there = %d %s", r.status, r.body)
	}
	f.a.giving.Store(false)
	if r := create(t, f.a, label, ""); r.status != 200 {
		t.Errorf("after a handover that failed: %d %s", r.status, r.body)
	}
}
