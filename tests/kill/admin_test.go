package kill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// admin is the client that may do what others may not.
type admin struct {
	client
	labels []*label
	// lostLabels are names of labels that were sent and not answered.
	lostLabels map[string]*label
	users      []*user // all, himself first
}

// user is what is known of a User for sure.
type user struct {
	name, password string
	// pending is a new password that was sent and not answered.
	pending string
	// made says that he is there, removing that a removal was sent, removed
	// that he is gone.
	made, removing, removed bool
}

// mostLabels is where the making of labels ends, lest listing them takes all
// the time; mostUsers likewise.
const mostLabels, mostUsers = 60, 60

func (a *admin) step(ctx context.Context) error {
	switch n := a.rng.IntN(100); {
	case n < 6 && len(a.labels) < mostLabels:
		return a.createLabel(ctx, a.rng.IntN(len(kinds())))
	case n < 12:
		return a.deleteLabel(ctx)
	case n < 13 && len(a.users) < mostUsers:
		return a.createUser(ctx)
	case n < 15:
		return a.setPassword(ctx, a.users[a.rng.IntN(len(a.users))])
	case n < 16:
		return a.removeUser(ctx, a.users[a.rng.IntN(len(a.users))])
	}
	return a.client.step(ctx)
}

// kinds are the labels of the campaign: what fits often, seldom, never, what
// is slow, short-lived, failing, and what is deleted while it is used.
func kinds() []label {
	return []label{
		{name: "small-a", needs: []need{{"test/a", 1, 1}}},
		{name: "small-b", needs: []need{{"test/b", 1, 2}}},
		{name: "either", needs: []need{{"test/b", 2, 1}, {"test/a", 2, 1}}},
		{name: "big", needs: []need{{"test/a", 6, 5}}},
		{name: "huge", needs: []need{{"test/a", 50, 5}, {"test/b", 1, 50}}},
		{name: "slow", needs: []need{{"test/a", 1, 1}}},
		{name: "short", needs: []need{{"test/b", 1, 1}}, lifetime: time.Second},
		{name: "shorter", needs: []need{{"test/a", 1, 1}}, lifetime: 1500 * time.Millisecond},
		{name: "failing", needs: []need{{"test/a", 1, 1}}, fails: true},
		{name: "doomed", needs: []need{{"test/a", 3, 3}}, doomed: true},
	}
}

func (l *label) body() string {
	options := `{}`
	switch {
	case l.fails:
		options = `{"fail_allocate":128}`
	case len(l.name) > 4 && l.name[:4] == "slow":
		options = `{"delay_allocate":"300ms","delay_deallocate":"200ms","delay_task":"50ms"}`
	}
	lifetime := ""
	if l.lifetime > 0 {
		lifetime = l.lifetime.String()
	}
	definitions := []map[string]any{}
	for _, n := range l.needs {
		definitions = append(definitions, map[string]any{
			"driver": n.instance, "options": json.RawMessage(options),
			"resources": map[string]any{"cpu": n.cpu, "ram": n.ram, "lifetime": lifetime},
		})
	}
	body, _ := json.Marshal(map[string]any{"name": l.name, "version": 1, "definitions": definitions}) // plain values marshal
	return string(body)
}

func (a *admin) createLabel(ctx context.Context, kind int) error {
	a.serial++
	l := kinds()[kind]
	l.name = fmt.Sprintf("%s-%d", l.name, a.serial)
	a.lostLabels[l.name] = &l
	resp, err := ask(ctx, a.api, http.MethodPost, "/api/v1/label/", l.body())
	if err != nil {
		return err
	}
	delete(a.lostLabels, l.name)
	var got struct {
		UID string `json:"UID"`
	}
	if err := decode("create label "+l.name, resp, &got); err != nil {
		return err
	}
	l.uid = got.UID
	a.labels = append(a.labels, &l)
	return nil
}

// deleteLabel deletes one that others may be using.
func (a *admin) deleteLabel(ctx context.Context) error {
	for _, l := range a.labels {
		if !l.doomed || !l.deleting || l.deleted {
			continue
		}
		resp, err := ask(ctx, a.api, http.MethodDelete, "/api/v1/label/"+l.uid, "")
		if err != nil {
			return err
		}
		l.deleted = true
		return decode("delete label "+l.name, resp, &struct{}{})
	}
	return nil
}

func (a *admin) createUser(ctx context.Context) error {
	a.serial++
	u := &user{name: fmt.Sprintf("guest-%d", a.serial)}
	a.users = append(a.users, u)
	return a.setPassword(ctx, u)
}

// setPassword creates the user or changes his password. That of those who are
// at work stays: others are using it.
func (a *admin) setPassword(ctx context.Context, u *user) error {
	if u.removing || u.made && u.name == worker {
		return nil
	}
	a.serial++
	u.pending = fmt.Sprintf("%s-secret-%d", u.name, a.serial)
	resp, err := ask(ctx, a.api, http.MethodPost, "/api/v1/user/", fmt.Sprintf(`{"name":%q,"password":%q}`, u.name, u.pending))
	if err != nil {
		return err
	}
	if err := decode("set password of "+u.name, resp, &struct{}{}); err != nil {
		return err
	}
	u.password, u.pending, u.made = u.pending, "", true
	a.api = a.api.As(a.user.name, a.user.password)
	return nil
}

func (a *admin) removeUser(ctx context.Context, u *user) error {
	if !u.made || u.removed || u == a.user || u.name == worker {
		return nil
	}
	u.removing = true
	resp, err := ask(ctx, a.api, http.MethodDelete, "/api/v1/user/"+u.name, "")
	if err != nil {
		return err
	}
	u.removed = true
	return decode("delete user "+u.name, resp, &struct{}{})
}
