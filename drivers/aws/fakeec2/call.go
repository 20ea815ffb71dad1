package fakeec2

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// requestLimit is how long one request waits for its answer at most: cloud.API
// promises a bound of its own beside that of the context.
const requestLimit = time.Minute

// ask is one call from its beginning to its end. The work is done with the
// account locked, and up to date.
func ask[T any](ctx context.Context, c *Cloud, action string, work func(now time.Time) (T, error)) (T, error) {
	var none T
	call := c.begin(action)
	if err := c.hook(ctx, call); err != nil {
		return none, err
	}
	answer, err := travel(ctx, c, call, work)
	call.After, call.Err = true, err
	if changed := c.hook(ctx, call); changed != nil {
		err = changed
	}
	if err != nil {
		return none, err
	}
	return answer, nil
}

// travel is the way to the service, and back.
func travel[T any](ctx context.Context, c *Cloud, call Call, work func(now time.Time) (T, error)) (answer T, err error) {
	if err := ctx.Err(); err != nil {
		return answer, cloud.NotSent(err)
	}
	request, reply := c.latency()
	if err := c.opts.Sleep(ctx, request); err != nil {
		return answer, fmt.Errorf("%s: %w", call.Action, err)
	}
	answer, order, err := perform(c, call, work)
	if order.hang {
		return answer, c.hang(ctx, call.Action)
	}
	if late := c.opts.Sleep(ctx, reply); late != nil {
		return answer, fmt.Errorf("%s: %w", call.Action, late)
	}
	return answer, err
}

// perform is the part of a call that happens at the service.
func perform[T any](c *Cloud, call Call, work func(now time.Time) (T, error)) (answer T, order verdict, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	order = c.judge(call, now)
	if order.undone {
		return answer, order, c.told(order.err)
	}
	c.touched, c.asked = nil, call
	defer func() { c.asked = Call{} }() // what a test does is nobody's call
	answer, err = work(now)
	if call.Writes {
		c.record(call, now, err, order.err != nil || order.hang)
	}
	if order.err != nil {
		err = order.err
	}
	return answer, order, err
}

// told is what a client makes of an error: that nobody answered at the service's
// address says that nothing was done.
func (c *Cloud) told(err error) error {
	if errors.Is(err, ErrUnreachable) && !c.strict {
		return cloud.NotSent(err)
	}
	return err
}

func (c *Cloud) begin(action string) Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	return Call{N: c.calls, Who: c.who, Action: action, Writes: writes(action), strict: c.strict}
}

func (c *Cloud) hook(ctx context.Context, call Call) error {
	if c.opts.Hook == nil {
		return nil
	}
	return c.opts.Hook(ctx, call)
}

// hang waits for an answer that does not come.
func (c *Cloud) hang(ctx context.Context, action string) error {
	if err := c.opts.Sleep(ctx, requestLimit); err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return fmt.Errorf("%s: no answer in %v: %w", action, requestLimit, context.DeadlineExceeded)
}

// writes reports whether an action may change something.
func writes(action string) bool {
	for _, reading := range []string{"Describe", "List", "Get"} {
		if strings.HasPrefix(action, reading) {
			return false
		}
	}
	return true
}

// Counts are how many requests of each action reached the service, those that
// it throttled included, and those that turned a page.
func (c *Cloud) Counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := map[string]int{}
	for action, n := range c.counts {
		counts[action] = n
	}
	return counts
}

var (
	// ErrLost is what a caller gets whose connection broke after the request
	// was sent.
	ErrLost = errors.New("connection reset by peer")
	// ErrUnreachable is what a caller gets who can not reach the service; as
	// cloud.NotSent, as nothing was done.
	ErrUnreachable = errors.New("connection refused")
)

// each does a call about many things. The service does all or none, and one
// unknown id is the end of it; so a client that wants the others done divides.
func each(c *Cloud, ids []string, call func(ids []string) error) error {
	if len(ids) == 0 && !c.strict {
		return nil
	}
	err := call(ids)
	if c.strict || len(ids) < 2 || !cloud.IsKind(err, cloud.NotFound) {
		return err
	}
	half := len(ids) / 2
	return errors.Join(each(c, ids[:half], call), each(c, ids[half:], call))
}
