package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

var errNotRunning = errors.New("environment does not run")

// Inspect implements drivers.Driver.
func (d *driver) Inspect(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
	list, err := d.find(ctx, ref)
	if err != nil {
		return drivers.Report{}, err
	}
	if len(list) == 0 {
		return d.withoutContainer(ref)
	}
	c, err := d.inspect(ctx, list[0].id)
	if cerrdefs.IsNotFound(err) {
		return d.withoutContainer(ref)
	}
	if err != nil {
		return drivers.Report{}, err
	}
	return report(c, ref.Definition), nil
}

// withoutContainer is what there is of an environment whose container is not, or
// not yet, there: its disks.
func (d *driver) withoutContainer(ref drivers.Ref) (drivers.Report, error) {
	there, err := d.disks.has(ref.Token)
	if there {
		return drivers.Report{Presence: drivers.Partial}, err
	}
	return drivers.Report{Presence: drivers.Absent}, err
}

// report is what a container's state means.
func report(c container.InspectResponse, def model.LabelDefinition) drivers.Report {
	switch presence(c.State) {
	case drivers.Running:
		return drivers.Report{Presence: drivers.Running, Environment: environment(c, def)}
	case drivers.Ended:
		return drivers.Report{Presence: drivers.Ended, Ending: ending(c.State)}
	}
	return drivers.Report{Presence: drivers.Partial}
}

// presence tells what ran and ended from what never started: a start that failed
// leaves a container that exited, too.
func presence(s *container.State) drivers.Presence {
	switch s.Status {
	case container.StateRunning, container.StatePaused:
		return drivers.Running
	case container.StateExited:
		if started(s) {
			return drivers.Ended
		}
	}
	return drivers.Partial
}

func started(s *container.State) bool {
	at, err := time.Parse(time.RFC3339Nano, s.StartedAt)
	return err == nil && !at.IsZero() && at.Year() > 1
}

// ending says how a container ended, in words for the user.
func ending(s *container.State) string {
	text := fmt.Sprintf("exit code %d", s.ExitCode)
	switch {
	case s.OOMKilled:
		text = fmt.Sprintf("out of memory, exit code %d", s.ExitCode)
	case s.ExitCode == 126, s.ExitCode == 127:
		text += " (as shells say of a program that is not there or can not be run)"
	case s.ExitCode == 128+9:
		text += " (killed)"
	case s.ExitCode == 128+15:
		text += " (terminated)"
	}
	if s.Error != "" {
		text += ": " + s.Error
	}
	return text
}

// environment is what the node shows of a container.
func environment(c container.InspectResponse, def model.LabelDefinition) drivers.Environment {
	env := drivers.Environment{Identifier: strings.TrimPrefix(c.Name, "/")}
	if endpoint := endpointOf(c); endpoint != nil {
		env.HWAddr = endpoint.MacAddress.String()
		if endpoint.IPAddress.IsValid() {
			env.IPAddr = endpoint.IPAddress.String()
		}
	}
	if env.HWAddr = cmp.Or(env.HWAddr, hwOf(env.Identifier)); def.Authentication != nil {
		copied := *def.Authentication
		env.Authentication = &copied
	}
	return env
}

// endpointOf is a container's place in the network that it was made for. By hand
// it may have been brought into others as well, which are not the node's.
func endpointOf(c container.InspectResponse) *network.EndpointSettings {
	if c.NetworkSettings == nil || c.HostConfig == nil {
		return nil
	}
	return c.NetworkSettings.Networks[string(c.HostConfig.NetworkMode)]
}

// hwOf is the hardware address that a name tells; empty for other names.
func hwOf(name string) string {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok || len(digits) != 12 {
		return ""
	}
	var parts []string
	for i := 0; i < len(digits); i += 2 {
		parts = append(parts, digits[i:i+2])
	}
	return strings.Join(parts, ":")
}

// Watch implements drivers.Watcher. One call of the engine's covers what has
// happened and what will, so no end falls between a look and a wait.
func (d *driver) Watch(ctx context.Context, ref drivers.Ref) (string, error) {
	list, err := d.find(ctx, ref)
	if err != nil {
		return "", err
	}
	if len(list) == 0 || rank(list[0].state) > rank(container.StateExited) {
		return "", errNotRunning
	}
	id := list[0].id
	if err := d.wait(ctx, id, container.WaitConditionNotRunning); err != nil {
		return "", err
	}
	c, err := d.inspect(ctx, id)
	if err == nil && c.State.Status == container.StateRemoving {
		if err := d.wait(ctx, id, container.WaitConditionRemoved); err != nil {
			return "", err
		}
		c, err = d.inspect(ctx, id)
	}
	if cerrdefs.IsNotFound(err) {
		return "removed by somebody else than the node", nil
	}
	if err != nil {
		return "", err
	}
	if presence(c.State) != drivers.Ended { // started again by hand, or removed half
		return "", errNotRunning
	}
	return ending(c.State), nil
}

// wait returns when a container meets the condition, or is not there.
func (d *driver) wait(ctx context.Context, id string, condition container.WaitCondition) error {
	wait := d.engine.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: condition})
	select {
	case answer := <-wait.Result:
		if answer.Error != nil {
			return fmt.Errorf("watch container: %s", answer.Error.Message)
		}
	case err := <-wait.Error:
		if !cerrdefs.IsNotFound(err) {
			return fmt.Errorf("watch container: %w", err)
		}
	}
	return nil
}
