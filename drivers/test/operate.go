package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The commands of the driver.
const (
	commandRoom = "room"
	commandFail = "fail"
)

// chances are those that a command can change while the instance runs: 0
// never, 255 always.
type chances struct{ deallocate, snapshot atomic.Uint32 }

func newChances(s settings) *chances {
	c := &chances{}
	c.deallocate.Store(uint32(s.FailDeallocate))
	c.snapshot.Store(uint32(s.FailSnapshot))
	return c
}

// of is the chance of a call that a user names.
func (c *chances) of(call string) *atomic.Uint32 {
	switch call {
	case "deallocate":
		return &c.deallocate
	case "snapshot":
		return &c.snapshot
	}
	return nil
}

// Commands implements drivers.Operator.
func (d *driver) Commands() []drivers.Command {
	return []drivers.Command{
		{Name: commandRoom, Help: "Says how many environments there are of what is shared, by asking its owner; of this instance if nothing is. No arguments."},
		{Name: commandFail, Help: "Sets how often a call fails until the node starts anew: `call` is deallocate or snapshot, `chance` from 0 (never) to 255 (always).", Changes: true, Object: "call"},
	}
}

var (
	_ drivers.Operator = (*driver)(nil)
	_ drivers.Answerer = (*driver)(nil)
)

// Do implements drivers.Operator.
func (d *driver) Do(ctx context.Context, command string, args json.RawMessage) (json.RawMessage, error) {
	switch command {
	case commandRoom:
		return d.askRoom(ctx, args)
	case commandFail:
		return d.setChance(args)
	}
	return nil, fmt.Errorf("%w: %q", drivers.ErrCommandUnknown, command)
}

// readArgs reads the arguments of a command, of which none may be unknown.
func readArgs(args json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(args))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", drivers.ErrCommandArgument, err)
	}
	return nil
}

func (d *driver) setChance(args json.RawMessage) (json.RawMessage, error) {
	var a struct {
		Call   string `json:"call"`
		Chance *uint8 `json:"chance"`
	}
	if err := readArgs(args, &a); err != nil {
		return nil, err
	}
	chance := d.chances.of(a.Call)
	switch {
	case chance == nil:
		return nil, fmt.Errorf("%w: call: got %q, want deallocate or snapshot", drivers.ErrCommandArgument, a.Call)
	case a.Chance == nil:
		return nil, fmt.Errorf("%w: chance: want a number from 0 to 255", drivers.ErrCommandArgument)
	}
	before := chance.Swap(uint32(*a.Chance))
	return json.Marshal(struct {
		Before uint32 `json:"before"`
	}{before})
}

// population is what there is of a shared thing.
type population struct {
	Environments int `json:"environments"`
}

// askRoom asks the owner of what is shared; of an instance that shares nothing
// the answer is its own.
func (d *driver) askRoom(ctx context.Context, args json.RawMessage) (json.RawMessage, error) {
	if err := readArgs(args, &struct{}{}); err != nil {
		return nil, err
	}
	if d.settings.Shared == "" {
		return d.countRoom(ctx)
	}
	return d.ask(ctx, d.settings.Shared, json.RawMessage(`{"question":"`+commandRoom+`"}`))
}

// countRoom counts what there is here.
func (d *driver) countRoom(ctx context.Context) (json.RawMessage, error) {
	refs, err := d.workspace.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("count environments: %w", err)
	}
	return json.Marshal(population{len(refs)})
}

// Answer implements drivers.Answerer. The one question is for room: it changes
// nothing, so that it may be asked any number of times.
func (d *driver) Answer(ctx context.Context, _ model.UID, _ string, body json.RawMessage) (json.RawMessage, error) {
	var q struct {
		Question string `json:"question"`
	}
	if err := json.Unmarshal(body, &q); err != nil || q.Question != commandRoom {
		return nil, drivers.RefuseAsk("unknown", "this version of the driver is not asked %q", q.Question)
	}
	return d.countRoom(ctx)
}
