package awscli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

// target says which instances of the driver a command asks.
type target struct {
	sh             Shell
	node, instance string
}

// flags declares them on a command, for those below it too.
func (t *target) flags(c *cobra.Command) {
	t.sh.Flags(c)
	t.sh.NodeFlag(c, &t.node)
	c.PersistentFlags().StringVar(&t.instance, "instance", "", "driver instance such as aws/mac; by default all of the node")
}

// instances are those of the driver that have the command and are meant.
func (t *target) instances(ctx context.Context, command string) ([]string, error) {
	all, err := t.sh.DriverCommands(ctx, t.node)
	if err != nil {
		return nil, err
	}
	ready := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		driver, _, _ := strings.Cut(name, "/")
		return driver != "aws"
	})
	if len(ready) == 0 {
		return nil, t.sh.NotFound("no instance of the driver aws is ready on %s: '%s' tells which there are, and why one is not ready",
			cmp.Or(t.node, "the node"), strings.TrimSpace("aquarium-fish node drivers "+t.node))
	}
	if t.instance != "" {
		if !slices.Contains(ready, t.instance) {
			return nil, t.sh.NotFound("no instance %q of the driver aws is ready on %s, there are: %s",
				t.instance, cmp.Or(t.node, "the node"), strings.Join(ready, ", "))
		}
		ready = []string{t.instance}
	}
	able := slices.DeleteFunc(slices.Clone(ready), func(name string) bool {
		return !slices.ContainsFunc(all[name], func(c drivers.Command) bool { return c.Name == command })
	})
	if len(able) == 0 {
		return nil, t.sh.NotFound("%s of %s can not do that: its version does not know %q", strings.Join(ready, ", "), cmp.Or(t.node, "the node"), command)
	}
	return able, nil
}

// answer is what an instance answered.
type answer[T any] struct {
	Instance string `json:"instance"`
	Result   T      `json:"result"`
}

var errNotAll = errors.New("not every instance of the driver aws did it: see above")

// ask asks all instances that are meant, and goes on where one fails. What was
// answered counts also beside an error.
func ask[T any](ctx context.Context, t *target, command string) ([]answer[T], error) {
	names, err := t.instances(ctx, command)
	if err != nil {
		return nil, err
	}
	var list []answer[T]
	for _, name := range names {
		one, failed := do[T](ctx, t, name, command, struct{}{})
		switch {
		case failed == nil:
			list = append(list, answer[T]{name, one})
		case ctx.Err() != nil, len(names) == 1:
			return list, failed
		default:
			t.sh.Note("%s: %v", name, failed)
			err = errNotAll
		}
	}
	return list, err
}

// do has an instance do a command.
func do[T any](ctx context.Context, t *target, instance, command string, args any) (result T, err error) {
	body, err := json.Marshal(args)
	if err != nil {
		return result, fmt.Errorf("write arguments: %w", err)
	}
	data, err := t.sh.DoDriverCommand(ctx, t.node, instance, command, body)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(data, &result); err != nil {
		return result, fmt.Errorf("read the answer of %s: %w; is this program of the same version as the node?", instance, err)
	}
	return result, nil
}

// tellMemory tells of an answer that is old, and why.
func (t *target) tellMemory(instance string, m view.Memory) {
	switch {
	case m.Trouble == "":
	case m.Asked.IsZero():
		t.sh.Note("%s: nothing is known yet: %s", instance, m.Trouble)
	default:
		t.sh.Note("%s: from memory, as of %s ago: %s", instance, span(t.sh.Now().Sub(m.Asked)), m.Trouble)
	}
}
