package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// How long a polling client waits between two looks: one that measures how long
// an application takes, and one of a crowd, whose looks would else be most of
// what is measured.
const (
	eagerPause = 2 * time.Millisecond
	crowdPause = 20 * time.Millisecond
)

// life takes applications through their lives over one connection.
type life struct {
	conn  *conn
	user  user
	label string
	pause time.Duration // between two looks
}

func statePath(uid string) string      { return "/api/v1/application/" + uid + "/state" }
func deallocatePath(uid string) string { return "/api/v1/application/" + uid + "/deallocate" }

func applicationBody(label string) string { return fmt.Sprintf(`{"label_UID":%q}`, label) }

// create asks for an environment and waits until it is ALLOCATED.
func (l life) create(ctx context.Context) (uid string, err error) {
	uid, err = l.conn.create(l.user, "/api/v1/application/", applicationBody(l.label))
	if err != nil {
		return "", err
	}
	return uid, l.await(ctx, uid, "ALLOCATED")
}

// live is a whole life: create, ALLOCATED, deallocate, DEALLOCATED.
func (l life) live(ctx context.Context) error {
	uid, err := l.create(ctx)
	if err != nil {
		return err
	}
	if _, err := l.conn.expect(get(l.user, deallocatePath(uid))); err != nil {
		return err
	}
	return l.await(ctx, uid, "DEALLOCATED")
}

var statusField = regexp.MustCompile(`"status":"([A-Z]+)"`)

// await polls until the application has the status.
func (l life) await(ctx context.Context, uid, want string) error {
	return l.awaitBy(ctx, uid, want, l.conn.expect)
}

// awaitBy is await with another way to ask.
func (l life) awaitBy(ctx context.Context, uid, want string, ask func(request []byte) ([]byte, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request := get(l.user, statePath(uid))
	for {
		body, err := ask(request)
		if err != nil {
			return err
		}
		m := statusField.FindSubmatch(body)
		if m == nil {
			return fmt.Errorf("no status in %.300s", body)
		}
		switch got := string(m[1]); got {
		case want:
			return nil
		case "ERROR", "RECALLED":
			return fmt.Errorf("want %s, got %.300s", want, body)
		}
		if err := pause(ctx, l.pause); err != nil {
			return errors.Join(fmt.Errorf("application %s is not %s in time: %s", uid, want, body), err)
		}
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
