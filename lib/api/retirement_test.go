package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

const retirements = "/api/v1/cluster/retirement/"

func retireCall(body string) call {
	return call{user: "admin", method: "POST", path: retirements, body: body}
}

// TestRetire: b is off; the answer, what is stored, what the audit and the log
// say, and the same once more.
func TestRetire(t *testing.T) {
	f := newFarm(t)
	a := f.a
	a.net().set(func(c *fakeCluster) { c.gone = []model.UID{f.b.uid} })
	wanted := `{"already":%s,"applications":0,"retirement":{"by":"admin",%s"forced":false,"name":"b","node_UID":"` + f.b.uid.String() +
		`","successor_UID":"` + f.c.uid.String() + `","successor_name":"c"},"running":false,"unreachable":[]}` + "\n"
	dry := a.do(t, retireCall(`{"node":"b","successor":"c","dry_run":true}`))
	if want := strings.Replace(strings.Replace(wanted, "%s", "false", 1), "%s", "", 1); dry.status != http.StatusOK || dry.body != want {
		t.Errorf("dry run = %d %s, want %s", dry.status, dry.body, want)
	}
	if n := len(a.store.Retirements()); n != 0 {
		t.Fatalf("a dry run stored %d retirements", n)
	}
	for _, already := range []bool{false, true} {
		var got apiv1.ClusterRetirementResult
		a.get(t, retireCall(`{"node":"b","successor":"c"}`), &got)
		if got.Already != already || got.Retirement.CreatedAt == nil || got.Retirement.NodeUID != f.b.uid {
			t.Errorf("retired: %+v", got)
		}
		a.net().set(func(c *fakeCluster) { c.gone, c.retired = nil, []model.UID{f.b.uid} })
	}
	stored, ok := a.store.Retirement(f.b.uid)
	if !ok || stored.Successor != f.c.uid || stored.By != "admin" || stored.Forced {
		t.Errorf("stored %+v", stored)
	}
	var listed []apiv1.ClusterRetirement
	a.get(t, call{user: "admin", path: retirements}, &listed)
	if len(listed) != 1 || listed[0].Name != "b" || listed[0].SuccessorName != "c" {
		t.Errorf("listed %+v", listed)
	}
	events := a.notedOf(t, "cluster.retire", 2)
	if len(events) != 2 || events[1].ObjectName != "b" || events[1].Detail != "successor c" || events[0].Detail != "successor c, retired before" {
		t.Errorf("audit: %+v", events)
	}
	if n := strings.Count(a.log.String(), "node was retired"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

func TestRetireRefused(t *testing.T) {
	f := newFarm(t)
	for _, tt := range []struct {
		name   string
		change func(*fakeCluster)
		call   call
		status int
		want   string
	}{
		{"it runs", nil, retireCall(`{"node":"b"}`), 400, "Unable to retire: b can be reached, so it runs"},
		{"itself", nil, retireCall(`{"node":"a","force":true}`), 400, "Unable to retire: a is the node that answers"},
		{"unknown", nil, retireCall(`{"node":"x","force":true}`), 404, "there are: a, b, c"},
		{"unknown successor", nil, retireCall(`{"node":"b","successor":"x","force":true}`), 404, "there are: a, b, c"},
		{"another is away", func(c *fakeCluster) { c.gone = []model.UID{f.b.uid, f.c.uid} }, retireCall(`{"node":"b"}`), 400, "c can not be reached"},
		{"no admin", nil, call{user: "alice", method: "POST", path: retirements, body: `{"node":"b","force":true}`}, 400, "Only 'admin' user can retire nodes"},
		{"no admin looks", nil, call{user: "alice", path: retirements}, 400, "Only 'admin' user can see retired nodes"},
		{"behind", func(c *fakeCluster) { c.ready = false }, retireCall(`{"node":"b","force":true}`), 503, "has not caught up"},
		{"nonsense", nil, retireCall(`{"node":7}`), 400, "node can't be a JSON number"},
		{"nobody is named", nil, retireCall(``), 404, "there are: a, b, c"},
	} {
		f.a.net().set(func(c *fakeCluster) {
			c.gone, c.ready = nil, true
			if tt.change != nil {
				tt.change(c)
			}
		})
		if got := f.a.do(t, tt.call); got.status != tt.status || !strings.Contains(got.body, tt.want) {
			t.Errorf("%s: %d %s, want %d with %q", tt.name, got.status, got.body, tt.status, tt.want)
		}
	}
	if n := len(f.a.store.Retirements()); n != 0 {
		t.Errorf("%d retirements are stored", n)
	}
}

// raced is a store in which another request retires first.
type raced struct{ Store }

// CreateRetirement implements Store.
func (s raced) CreateRetirement(ctx context.Context, r model.Retirement) (model.Retirement, error) {
	r.By, r.Successor = "eve", model.UID{3, 7, 7, 7, 7, 7}
	if _, err := s.Store.CreateRetirement(ctx, r); err != nil {
		return r, err
	}
	return model.Retirement{}, store.ErrExists
}

// broken is a store that takes nothing.
type broken struct{ Store }

// CreateRetirement implements Store.
func (broken) CreateRetirement(context.Context, model.Retirement) (model.Retirement, error) {
	return model.Retirement{}, errors.New("disk is full")
}

// TestRetireByTwoAtOnce: the slower one is told what the faster one stored; and
// what is not stored is not told.
func TestRetireByTwoAtOnce(t *testing.T) {
	f := newFarm(t)
	h := f.a.api.handlers
	f.a.net().set(func(c *fakeCluster) { c.gone = []model.UID{f.b.uid} })
	db := h.Store
	h.Store = broken{db}
	if got := f.a.do(t, retireCall(`{"node":"b"}`)); got.status != http.StatusInternalServerError {
		t.Errorf("on a broken disk: %d %s", got.status, got.body)
	}
	h.Store = raced{db}
	var got apiv1.ClusterRetirementResult
	f.a.get(t, retireCall(`{"node":"b","successor":"a"}`), &got)
	if !got.Already || got.Retirement.By != "eve" || got.Retirement.SuccessorName != "c" {
		t.Errorf("the slower one is told %+v", got)
	}
}
