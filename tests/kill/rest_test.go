package kill

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// slowRest is more than what retries of a driver take that fails now and then.
const slowRest = 4 * time.Second

// awaitRest waits until the node has nothing left to do: every Application is
// over, or ALLOCATED with its one environment, or waits for what is not free.
func (c *campaign) awaitRest(ctx context.Context) error {
	deadline := time.After(fish.WaitTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var reasons []string
	start := time.Now()
	defer func() {
		if took := time.Since(start); took > slowRest {
			c.t.Logf("rest took %v:\n%s", took.Round(time.Millisecond), strings.Join(reasons, "\n"))
		}
	}()
	for {
		unrest, err := c.unrest(ctx)
		if len(reasons) == 0 || !strings.HasSuffix(reasons[len(reasons)-1], unrest) {
			reasons = append(reasons, time.Now().UTC().Format(time.StampMilli)+" "+unrest)
		}
		if unrest == "" && err == nil {
			c.settle()
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("no rest within %v: %s", fish.WaitTimeout, unrest)
		}
	}
}

// unrest looks at everything that is not settled and says what is left to do.
// What it looks at changes meanwhile: any answer but "" may be out of date.
func (c *campaign) unrest(ctx context.Context) (string, error) {
	var open []*app
	for _, a := range c.apps() {
		if a.settled {
			continue
		}
		if err := c.lookAtAll(ctx, a); err != nil {
			return "", err
		}
		open = append(open, a)
	}
	found, err := survey(c.node.Dir)
	if err != nil {
		return "", err
	}
	byApp := map[string]environment{}
	for _, e := range found {
		byApp[e.app] = e
	}
	var used need
	alive := 0
	for _, a := range open {
		if why := a.restless(time.Now()); why != "" {
			return why, nil
		}
		if a.over() {
			if err := a.judge(); err != nil {
				return "", err
			}
		}
		if a.state.Status != "ALLOCATED" {
			continue
		}
		e, ok := byApp[a.uid]
		if !ok || !e.made {
			return fmt.Sprintf("application %s is ALLOCATED, its environment %+v", a.uid, e), nil
		}
		if err := c.identify(a, e); err != nil {
			return "", err
		}
		n := a.label.need(e.instance)
		used.cpu, used.ram, alive = used.cpu+n.cpu, used.ram+n.ram, alive+1
	}
	if len(found) != alive {
		return fmt.Sprintf("%d applications are ALLOCATED, %d environments are there: %v", alive, len(found), found), nil
	}
	for _, a := range open {
		if progress(a.state.Status) == waiting && a.label.fits(used) {
			return fmt.Sprintf("application %s (%s) waits, though only %d cpus and %d GB are used", a.uid, a.label.name, used.cpu, used.ram), nil
		}
	}
	return "", nil
}

// restless says what the node has to do for an Application, whatever else there is.
func (a *app) restless(now time.Time) string {
	s := a.state
	overdue := false
	if created, err := time.Parse(time.RFC3339Nano, s.CreatedAt); err == nil && s.Status == "ALLOCATED" && a.label.lifetime > 0 {
		overdue = now.After(created.Add(a.label.lifetime))
	}
	if s.Status == "" || s.Status == "ELECTED" || s.Status == "DEALLOCATE" || overdue {
		return fmt.Sprintf("application %s (%s) is %s since %s", a.uid, a.label.name, s.Status, s.CreatedAt)
	}
	if s.Status == "ALLOCATED" && a.resource.UID == "" {
		return fmt.Sprintf("application %s has no resource", a.uid)
	}
	if progress(s.Status) == waiting && a.label.deleted {
		return fmt.Sprintf("application %s waits for a label that was deleted", a.uid)
	}
	for _, t := range a.tasks {
		due := progress(s.Status) >= requested || t.When == s.Status
		if due && !t.ended() {
			return fmt.Sprintf("task %s (%s when %s) of application %s, %s, is not done", t.UID, t.Task, t.When, a.uid, s.Status)
		}
	}
	return ""
}

// settle notes what is over for good.
func (c *campaign) settle() {
	for _, a := range c.apps() {
		a.settled = a.settled || progress(a.state.Status) >= requested
	}
}

// need is what the label takes of an instance.
func (l *label) need(instance string) need {
	for _, n := range l.needs {
		if n.instance == instance {
			return n
		}
	}
	return need{instance: instance}
}

// fits reports whether one of the definitions finds room beside what is used.
func (l *label) fits(used need) bool {
	for _, n := range l.needs {
		limit := limits()[n.instance]
		if used.cpu+n.cpu <= limit.cpu && used.ram+n.ram <= limit.ram {
			return true
		}
	}
	return false
}
