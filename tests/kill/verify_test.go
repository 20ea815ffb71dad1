package kill

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// sample is how many settled Applications a round looks at again; the last
// round looks at all.
const sample = 40

// verify checks what was acknowledged before the node died.
func (c *campaign) verify(ctx context.Context) error {
	if err := c.firstAnswer(ctx); err != nil {
		return err
	}
	for _, check := range []func(context.Context) error{
		c.checkApplications, c.checkEnvironments, c.checkLabels, c.checkUsers, c.checkPasswords, c.checkLives,
	} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// firstAnswer is about what has to live still: the very first thing that the
// new process says has to be that it does (contract 19).
func (c *campaign) firstAnswer(ctx context.Context) error {
	var steady []*app
	for _, a := range c.apps() {
		if a.steady() {
			steady = append(steady, a)
		}
	}
	c.rng.Shuffle(len(steady), func(i, j int) { steady[i], steady[j] = steady[j], steady[i] })
	api, err := c.login(ctx, c.admin.user)
	if err != nil {
		return err
	}
	c.admin.api = api
	for _, a := range steady {
		if err := look(ctx, c.admin.api, a); err != nil {
			return err
		}
		if err := lookAtResource(ctx, c.admin.api, a); err != nil {
			return err
		}
	}
	return nil
}

// login finds out which password counts: the last one acknowledged, or the one
// whose answer was lost.
func (c *campaign) login(ctx context.Context, u *user) (fish.Client, error) {
	for _, password := range []string{u.password, u.pending} {
		if password == "" {
			continue
		}
		api := c.node.As(u.name, password)
		resp, err := ask(ctx, api, http.MethodGet, "/api/v1/user/me/", "")
		if err != nil {
			return api, err
		}
		if resp.Status == http.StatusOK {
			u.password, u.pending = password, ""
			return api, nil
		}
		if resp.Status != http.StatusUnauthorized {
			return api, fmt.Errorf("login of %s: status %d %s", u.name, resp.Status, resp.Body)
		}
	}
	return fish.Client{}, fmt.Errorf("user %s: neither the acknowledged password %q nor the unanswered %q is taken", u.name, u.password, u.pending)
}

// checkApplications compares the list with what was acknowledged, and adopts
// those whose answer was lost.
func (c *campaign) checkApplications(ctx context.Context) error {
	var list []application
	if err := c.get(ctx, "/api/v1/application/", &list); err != nil {
		return err
	}
	there := make(map[string]application, len(list))
	for _, a := range list {
		if _, twice := there[a.UID]; twice {
			return fmt.Errorf("application %s is listed twice", a.UID)
		}
		there[a.UID] = a
	}
	for _, cl := range c.clients {
		for _, a := range cl.apps {
			if got, ok := there[a.uid]; !ok || got.Owner != cl.user.name || got.LabelUID != a.label.uid {
				return a.broken("was acknowledged and is listed as %+v", got)
			}
			delete(there, a.uid)
		}
	}
	for _, got := range list {
		if _, unknown := there[got.UID]; !unknown {
			continue
		}
		if err := c.adopt(got); err != nil {
			return err
		}
	}
	for _, cl := range c.clients {
		clear(cl.lost) // the rest never came to be
	}
	return nil
}

// adopt takes an Application on whose creation was not answered.
func (c *campaign) adopt(got application) error {
	for _, cl := range c.clients {
		l, ok := cl.lost[got.Metadata.Nonce]
		if ok && cl.user.name == got.Owner && l.uid == got.LabelUID {
			delete(cl.lost, got.Metadata.Nonce)
			cl.apps = append(cl.apps, &app{uid: got.UID, label: l})
			return nil
		}
	}
	return fmt.Errorf("application %s (%+v) was never asked for, or twice", got.UID, got)
}

// checkEnvironments judges what the dead process left in the workspace.
func (c *campaign) checkEnvironments(context.Context) error {
	cpu, ram := 0, 0
	byApp := map[string]environment{}
	for _, e := range c.left {
		a, ok := c.known()[e.app]
		if !ok {
			return fmt.Errorf("environment %s is of application %s, which nobody asked for", e.identifier, e.app)
		}
		if other, twice := byApp[e.app]; twice {
			return a.broken("has two environments, %s and %s", e.identifier, other.identifier)
		}
		byApp[e.app] = e
		if err := c.identify(a, e); err != nil {
			return err
		}
		if a.overAtDeath {
			return a.broken("had ended and environment %s was there", e.identifier)
		}
		n := a.label.need(e.instance)
		cpu, ram = cpu+n.cpu, ram+n.ram
	}
	for _, a := range c.apps() {
		if a.steadyAtDeath && !byApp[a.uid].made {
			return a.broken("has no file in the workspace")
		}
	}
	if limit := limits()["test/a"]; cpu > limit.cpu || ram > limit.ram {
		return fmt.Errorf("%d cpus and %d GB were handed out: %v", cpu, ram, c.left)
	}
	return nil
}

// identify remembers the environment of an Application: it has one for life.
func (c *campaign) identify(a *app, e environment) error {
	was, ok := c.environments[a.uid]
	if ok && (was.identifier != e.identifier || was.token != e.token) {
		return a.broken("has environment %s %s, had %s %s", e.identifier, e.token, was.identifier, was.token)
	}
	if a.resource.Identifier != "" && a.resource.Identifier != e.identifier {
		return a.broken("has environment %s, its resource says %s", e.identifier, a.resource.Identifier)
	}
	c.environments[a.uid] = e
	return nil
}

func (c *campaign) checkLabels(ctx context.Context) error {
	var list []struct {
		UID  string `json:"UID"`
		Name string `json:"name"`
	}
	if err := c.get(ctx, "/api/v1/label/", &list); err != nil {
		return err
	}
	there := map[string]string{}
	for _, l := range list {
		if there[l.Name] != "" {
			return fmt.Errorf("label %s is there twice", l.Name)
		}
		there[l.Name] = l.UID
	}
	for _, l := range c.admin.labels {
		got := there[l.name]
		if l.deleted && got != "" {
			return fmt.Errorf("label %s %s was deleted and is there", l.name, l.uid)
		}
		if !l.deleting && got != l.uid {
			return fmt.Errorf("label %s %s is lost, there is %q", l.name, l.uid, got)
		}
		delete(there, l.name)
	}
	for name, uid := range there {
		l, ok := c.admin.lostLabels[name]
		if !ok {
			return fmt.Errorf("label %s %s was never asked for", name, uid)
		}
		l.uid = uid
		c.admin.labels = append(c.admin.labels, l)
	}
	clear(c.admin.lostLabels)
	return nil
}

func (c *campaign) checkUsers(ctx context.Context) error {
	var list []struct {
		Name string `json:"name"`
	}
	if err := c.get(ctx, "/api/v1/user/", &list); err != nil {
		return err
	}
	there := map[string]bool{}
	for _, u := range list {
		there[u.Name] = true
	}
	for _, u := range c.admin.users {
		switch {
		case u.removed && there[u.name]:
			return fmt.Errorf("user %s was removed and is there", u.name)
		case u.made && !u.removing && !there[u.name]:
			return fmt.Errorf("user %s is lost", u.name)
		}
		u.made, u.removed = there[u.name], u.removing && !there[u.name]
	}
	return nil
}

// checkPasswords logs those in who may have an old or a new one, and now and
// then somebody else: a hash is dear.
func (c *campaign) checkPasswords(ctx context.Context) error {
	for _, u := range c.admin.users {
		doubtful := u.pending != "" && u.password != ""
		if !u.made || !doubtful && !c.last && c.rng.IntN(30) > 0 {
			continue
		}
		if _, err := c.login(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

// checkLives looks at all Applications that are not settled, and at some that are.
func (c *campaign) checkLives(ctx context.Context) error {
	apps := c.apps()
	var settled []*app
	for _, a := range apps {
		if a.settled {
			settled = append(settled, a)
		}
	}
	if !c.last {
		c.rng.Shuffle(len(settled), func(i, j int) { settled[i], settled[j] = settled[j], settled[i] })
		settled = settled[:min(sample, len(settled))]
	}
	apps = slices.DeleteFunc(apps, func(a *app) bool { return a.settled })
	for _, a := range append(apps, settled...) {
		if err := c.lookAtAll(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// lookAtAll takes in all that the node says of an Application.
func (c *campaign) lookAtAll(ctx context.Context, a *app) error {
	if err := look(ctx, c.admin.api, a); err != nil {
		return err
	}
	if a.state.Status == "ALLOCATED" {
		if err := lookAtResource(ctx, c.admin.api, a); err != nil {
			return err
		}
	}
	if len(a.tasks) == 0 && !a.lostTask {
		return nil
	}
	return lookAtTasks(ctx, c.admin.api, a)
}

func (c *campaign) get(ctx context.Context, path string, into any) error {
	resp, err := ask(ctx, c.admin.api, http.MethodGet, path, "")
	if err != nil {
		return err
	}
	return decode("GET "+path, resp, into)
}
