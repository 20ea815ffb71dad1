package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

// command has an instance do a command.
func command[T any](t testing.TB, d *driver, name, args string) (result T) {
	t.Helper()
	data, err := d.Do(t.Context(), name, json.RawMessage(args))
	if err != nil {
		t.Fatalf("%s = %v", name, err)
	}
	if err := json.Unmarshal(data, &result); err != nil {
		t.Fatalf("%s = %s, %v", name, data, err)
	}
	return result
}

// TestStatus: an environment is listed with what it has cost, and with whose it
// is, to the node that made it and to another.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		d := s.start(t)
		req := request("a", plain())
		env, err := d.Allocate(within(t, time.Hour), req)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		other := s.open(t, "aws/other", stranger)
		t.Cleanup(func() { _ = other.Close() })
		for _, from := range []*driver{d, other} {
			a := command[view.Account](t, from, view.Status, `{}`)
			if a.Region != "eu-central-1" || a.Account == "" || a.Node != from.node.String() || a.Trouble != "" || a.Pools == nil || len(a.Missing) > 0 {
				t.Errorf("the account is %+v", a)
			}
			kinds := map[view.Kind]int{}
			for _, one := range a.Things {
				kinds[one.Kind]++
				if one.Mine != (from == d) || one.Node != node.String() || one.Application != req.ApplicationUID.String() {
					t.Errorf("%s %s is %+v", one.Kind, one.ID, one.Owner)
				}
				if one.Kind == view.Instance && (one.ID != env.Identifier || one.Cost == nil || *one.Cost < 0.19 || *one.Cost > 0.2) {
					t.Errorf("the machine is %+v, its cost %v", one, one.Cost)
				}
			}
			if kinds[view.Instance] != 1 || kinds[view.Volume] == 0 {
				t.Errorf("listed %v", kinds)
			}
			if want := map[bool]float64{true: 0.096, false: 0}[from == d]; a.Hourly != want {
				t.Errorf("it costs %v an hour, want %v", a.Hourly, want)
			}
		}
		if _, err := d.Do(t.Context(), view.Status, json.RawMessage(`{"all":true}`)); !errors.Is(err, drivers.ErrCommandArgument) {
			t.Errorf("an unknown argument = %v", err)
		}
		for _, name := range []string{view.Pools, view.Drain, "fly"} {
			if _, err := d.Do(t.Context(), name, json.RawMessage(`{}`)); !errors.Is(err, drivers.ErrCommandUnknown) {
				t.Errorf("%s of an instance without pools = %v", name, err)
			}
		}
	})
}

// keeperOf are hosts of which an admin sees one pool.
type keeperOf struct {
	noPools
	drained []string
}

func (k *keeperOf) Pools(context.Context) []view.Pool { return []view.Pool{{Name: "m2", Max: 3}} }

func (k *keeperOf) Drain(_ context.Context, pool string, off bool) (view.Pool, error) {
	if pool != "m2" {
		return view.Pool{}, fmt.Errorf("%w: pool: there is no %q", drivers.ErrCommandArgument, pool)
	}
	k.drained = append(k.drained, fmt.Sprint(pool, " ", off))
	return view.Pool{Name: pool, Draining: !off}, nil
}

func TestPoolCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		keeper := &keeperOf{}
		s.hosts = keeper
		d := s.start(t)
		var names []string
		for _, c := range d.Commands() {
			names = append(names, c.Name)
			if c.Changes != (c.Name == view.Drain || c.Name == view.Sweep) || c.Help == "" {
				t.Errorf("command %+v", c)
			}
		}
		if diff := cmp.Diff([]string{view.Status, view.SweepPlan, view.Sweep, view.Pools, view.Drain}, names); diff != "" {
			t.Errorf("commands (-want +got):\n%s", diff)
		}
		if got := command[view.PoolList](t, d, view.Pools, `{}`); len(got.Pools) != 1 || got.Region != "eu-central-1" {
			t.Errorf("pools = %+v", got)
		}
		if got := command[view.Account](t, d, view.Status, `{}`); len(got.Pools) != 1 {
			t.Errorf("the pools of the status are %+v", got.Pools)
		}
		if got := command[view.Pool](t, d, view.Drain, `{"pool":"m2"}`); !got.Draining {
			t.Errorf("drained it is %+v", got)
		}
		if got := command[view.Pool](t, d, view.Drain, `{"pool":"m2","off":true}`); got.Draining {
			t.Errorf("put back to work it is %+v", got)
		}
		if diff := cmp.Diff([]string{"m2 false", "m2 true"}, keeper.drained); diff != "" {
			t.Errorf("drained (-want +got):\n%s", diff)
		}
		for args, want := range map[string]string{`{}`: "want the name of a pool", `{"pool":"m1"}`: "there is no", `{"pool":"m2","on":true}`: "on"} {
			if _, err := d.Do(t.Context(), view.Drain, json.RawMessage(args)); !errors.Is(err, drivers.ErrCommandArgument) || !strings.Contains(err.Error(), want) {
				t.Errorf("drain %s = %v", args, err)
			}
		}
	})
}

// slowKeeper is one whose pools' owners are away.
type slowKeeper struct{ keeperOf }

func (k *slowKeeper) Pools(ctx context.Context) []view.Pool {
	_ = loop.Sleep(ctx, drivers.AskTimeout)
	return k.keeperOf.Pools(ctx)
}

// TestStatusWhenAllIsAway: EC2 that hangs and pools' owners that are away do not
// add up: there is an answer before who asked loses patience.
func TestStatusWhenAllIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.hosts = &slowKeeper{}
		d := s.start(t)
		time.Sleep(time.Minute)
		s.hookOf(func(ctx context.Context, c fakeec2.Call) error {
			if strings.HasPrefix(c.Action, "Describe") && !c.After {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		began := time.Now()
		data, err := d.Do(within(t, drivers.CommandTimeout), view.Status, json.RawMessage(`{}`))
		if took := time.Since(began); err != nil || !strings.Contains(string(data), `"m2"`) || took > drivers.CommandTimeout-5*time.Second {
			t.Errorf("status = %s, %v after %v", data, err, took)
		}
	})
}
