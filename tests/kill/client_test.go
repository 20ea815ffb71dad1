package kill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// client is at work in one goroutine. What it knows for sure is checked by the
// campaign while it does not work.
type client struct {
	name   string
	user   *user
	rng    *rand.Rand
	serial int
	pool   []*label // to choose from

	apps []*app
	// lost are the labels of Applications that were sent and not answered, by
	// the nonce in their metadata.
	lost map[string]*label

	api fish.Client // of this round
}

// mostActive is how many Applications a client asks for at once; more than the
// node can hold of all clients together.
const mostActive = 6

// pace is the longest pause between two requests of one client.
const pace = 8 * time.Millisecond

// work logs in, which takes long, calls warm, and sends requests until the
// node is gone. Its error says what the node did wrong.
func (c *client) work(ctx context.Context, gone <-chan struct{}, warm func(), step func(context.Context) error) error {
	err := me(ctx, c.api)
	warm()
	for ; ; err = step(ctx) {
		if errors.Is(err, errLost) {
			select {
			case <-gone:
				return nil
			case <-time.After(fish.WaitTimeout):
				return fmt.Errorf("client %s: the node lives and does not answer: %w", c.name, err)
			}
		}
		if err != nil {
			return fmt.Errorf("client %s: %w", c.name, err)
		}
		select {
		case <-gone:
			return nil
		case <-time.After(time.Duration(c.rng.Int64N(int64(pace)))):
		}
	}
}

// me asks who the client is: the password has to be taken.
func me(ctx context.Context, api fish.Client) error {
	resp, err := ask(ctx, api, http.MethodGet, "/api/v1/user/me/", "")
	if err != nil {
		return err
	}
	return decode("login of "+api.User+" with "+api.Password, resp, &struct{}{})
}

func (c *client) step(ctx context.Context) error {
	switch n := c.rng.IntN(100); {
	case n < 25:
		if c.active() < mostActive {
			return c.create(ctx)
		}
		return c.deallocate(ctx, c.pick())
	case n < 55:
		return c.with(c.pick(), func(a *app) error { return look(ctx, c.api, a) })
	case n < 65:
		return c.with(c.pick(), func(a *app) error { return lookAtResource(ctx, c.api, a) })
	case n < 77:
		return c.deallocate(ctx, c.pick())
	case n < 92:
		return c.with(c.pick(), func(a *app) error { return c.createTask(ctx, a) })
	}
	return c.with(c.pick(), func(a *app) error { return lookAtTasks(ctx, c.api, a) })
}

func (c *client) active() int {
	n := 0
	for _, a := range c.apps {
		if progress(a.state.Status) < requested && !a.asked {
			n++
		}
	}
	return n
}

// pick chooses an Application: mostly one of the youngest, nil if there is none.
func (c *client) pick() *app {
	if len(c.apps) == 0 {
		return nil
	}
	if c.rng.IntN(8) == 0 {
		return c.apps[c.rng.IntN(len(c.apps))]
	}
	var live []*app
	for _, a := range c.apps[max(0, len(c.apps)-100):] {
		if !a.over() {
			live = append(live, a)
		}
	}
	if len(live) == 0 {
		return c.apps[len(c.apps)-1]
	}
	return live[c.rng.IntN(len(live))]
}

func (c *client) with(a *app, do func(*app) error) error {
	if a == nil {
		return nil
	}
	return do(a)
}

func (c *client) create(ctx context.Context) error {
	c.serial++
	nonce := fmt.Sprintf("%s-%d", c.name, c.serial)
	l := c.pool[c.rng.IntN(len(c.pool))]
	c.lost[nonce] = l
	resp, err := ask(ctx, c.api, http.MethodPost, "/api/v1/application/",
		fmt.Sprintf(`{"label_UID":%q,"metadata":{"nonce":%q}}`, l.uid, nonce))
	if err != nil {
		return err
	}
	delete(c.lost, nonce)
	if resp.Status == http.StatusBadRequest && l.deleting {
		return nil
	}
	var got application
	if err := decode("create application", resp, &got); err != nil {
		return err
	}
	c.apps = append(c.apps, &app{uid: got.UID, label: l})
	return nil
}

func (c *client) deallocate(ctx context.Context, a *app) error {
	if a == nil {
		return nil
	}
	before := a.mayEnd() || a.mayFail() || progress(a.state.Status) >= requested
	a.asked = true
	resp, err := ask(ctx, c.api, http.MethodGet, "/api/v1/application/"+a.uid+"/deallocate", "")
	if err != nil {
		return err
	}
	if resp.Status == http.StatusBadRequest && before {
		return nil
	}
	var s fish.State
	if err := decode("deallocate "+a.uid, resp, &s); err != nil {
		return err
	}
	return a.answer(s)
}

func (c *client) createTask(ctx context.Context, a *app) error {
	name, when := "snapshot", "ALLOCATED"
	switch n := c.rng.IntN(20); {
	case n < 8:
		when = "DEALLOCATE"
	case n < 10:
		when = "RECALLED"
	case n < 12:
		when = "never"
	}
	if c.rng.IntN(6) == 0 {
		name = "nonsense"
	}
	early := !a.mayEnd()
	lostBefore := a.lostTask
	a.lostTask, a.settled = true, false
	resp, err := ask(ctx, c.api, http.MethodPost, "/api/v1/application/"+a.uid+"/task/",
		fmt.Sprintf(`{"task":%q,"when":%q,"options":{"full":true}}`, name, when))
	if err != nil {
		return err
	}
	a.lostTask = lostBefore
	got := answeredTask{}
	if err := decode("create task for "+a.uid, resp, &got); err != nil {
		return err
	}
	if got.Task != name || got.When != when {
		return a.broken("a task %s when %s was made %s", name, when, resp.Body)
	}
	t := got.task
	t.early = early
	a.tasks = append(a.tasks, &t)
	return a.seen(&t, string(got.Result))
}

// application is an Application as the API shows it.
type application struct {
	UID      string `json:"UID"`
	LabelUID string `json:"label_UID"`
	Owner    string `json:"owner_name"`
	Metadata struct {
		Nonce string `json:"nonce"`
	} `json:"metadata"`
}

type answeredTask struct {
	task
	Result json.RawMessage `json:"result"`
}

// look takes in the state of an Application.
func look(ctx context.Context, api fish.Client, a *app) error {
	resp, err := ask(ctx, api, http.MethodGet, "/api/v1/application/"+a.uid+"/state", "")
	if err != nil {
		return err
	}
	var s fish.State
	if err := decode("state of "+a.uid, resp, &s); err != nil {
		return err
	}
	return a.observe(s)
}

// lookAtResource takes in the Resource: one that has to stay ALLOCATED has it.
func lookAtResource(ctx context.Context, api fish.Client, a *app) error {
	resp, err := ask(ctx, api, http.MethodGet, "/api/v1/application/"+a.uid+"/resource", "")
	if err != nil {
		return err
	}
	if resp.Status == http.StatusNotFound && !a.steady() {
		return nil
	}
	var r fish.Resource
	if err := decode("resource of "+a.uid, resp, &r); err != nil {
		return err
	}
	return a.hold(r)
}

// lookAtTasks takes in all tasks: those acknowledged have to be there, and
// others only if the answer to one was lost.
func lookAtTasks(ctx context.Context, api fish.Client, a *app) error {
	resp, err := ask(ctx, api, http.MethodGet, "/api/v1/application/"+a.uid+"/task/", "")
	if err != nil {
		return err
	}
	var list []answeredTask
	if err := decode("tasks of "+a.uid, resp, &list); err != nil {
		return err
	}
	there := map[string]answeredTask{}
	for _, t := range list {
		there[t.UID] = t
	}
	for _, t := range a.tasks {
		got, ok := there[t.UID]
		if !ok || got.Task != t.Task || got.When != t.When || got.Created != t.Created {
			return a.broken("task %s %s %s of %s is now %+v", t.UID, t.Task, t.When, t.Created, got)
		}
		delete(there, t.UID)
		if err := a.seen(t, string(got.Result)); err != nil {
			return err
		}
	}
	for _, got := range there {
		if !a.lostTask {
			return a.broken("has task %s that nobody made", got.UID)
		}
		t := got.task
		a.tasks = append(a.tasks, &t)
		if err := a.seen(&t, string(got.Result)); err != nil {
			return err
		}
	}
	return nil
}

// ask sends one request; any answer is one, whatever its status.
func ask(ctx context.Context, api fish.Client, method, path, body string) (fish.Response, error) {
	var sent []byte
	if body != "" {
		sent = []byte(body)
	}
	resp, err := api.Do(ctx, method, path, sent, "")
	if err != nil {
		return fish.Response{}, fmt.Errorf("%w: %w", errLost, err)
	}
	return resp, nil
}

// decode reads what has to be a 200.
func decode(what string, resp fish.Response, into any) error {
	if resp.Status != http.StatusOK {
		return fmt.Errorf("%s: status %d %s, want 200", what, resp.Status, resp.Body)
	}
	if err := json.Unmarshal(resp.Body, into); err != nil {
		return fmt.Errorf("%s: %w in %s", what, err, resp.Body)
	}
	return nil
}
