package fakeec2

import (
	"context"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func byUser() cloud.StateReason {
	return cloud.StateReason{Code: "Client.UserInitiatedShutdown", Message: "Client.UserInitiatedShutdown: User initiated shutdown"}
}

// StopInstance implements cloud.API.
func (c *Cloud) StopInstance(ctx context.Context, id string, how cloud.Stop) error {
	_, err := ask(ctx, c, "StopInstances", func(now time.Time) (none struct{}, err error) {
		c.touch(id)
		i, err := c.known(id)
		if err != nil {
			return none, err
		}
		return none, c.stop(i, how, now)
	})
	return err
}

func (a *account) stop(i instance, how cloud.Stop, now time.Time) error {
	switch {
	case how.Hibernate && how.Force:
		return cloud.NewError("InvalidParameterCombination", "The parameters hibernate and force can not be used together")
	case how.Hibernate && !i.Hibernates:
		return cloud.NewError("UnsupportedHibernationConfiguration", "Hibernation options are not set for the instance '%s'", i.ID)
	case i.Spot:
		return cloud.NewError("UnsupportedOperation", "You can't stop the Spot Instance '%s' because it is associated with a one-time Spot "+
			"Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.", i.ID)
	case i.State == cloud.Stopped || i.State == cloud.Stopping:
		return nil
	case i.State != cloud.Running:
		return cloud.NewError("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be stopped.", i.ID)
	case how.Hibernate && now.Before(i.ready):
		return cloud.NewError("UnsupportedOperation", "Instance is not ready to hibernate yet, retry in a few minutes")
	}
	if err := a.admitResources(now, 1); err != nil {
		return err
	}
	a.halt(i.ID, now, byUser(), how.Hibernate && a.memoryFits(i))
	return nil
}

// memoryFits reports whether hibernation succeeds. Where it does not, EC2
// stops the instance without a word.
func (a *account) memoryFits(i instance) bool {
	t, _ := a.types.get(i.Type)
	root, _ := a.volumes.get(i.Volumes[i.RootDevice])
	if a.noHibernation > 0 {
		a.noHibernation--
		return false
	}
	return root.SizeGB<<10 >= t.MemoryMB
}

// FailHibernations lets the next n hibernations become plain stops.
func (c *Cloud) FailHibernations(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noHibernation = n
}

// halt begins to stop an instance.
func (a *account) halt(id string, now time.Time, why cloud.StateReason, sleeps bool) {
	took := a.opts.Timing.Stop
	if sleeps {
		why = cloud.StateReason{Code: "Client.UserInitiatedHibernate", Message: "Client.UserInitiatedHibernate: User initiated hibernate"}
		took = a.opts.Timing.Hibernate
	}
	a.instances.change(id, now, func(i *instance) { i.sleeps = sleeps })
	a.enter(id, now, cloud.Stopping, why)
	if i, _ := a.instances.get(id); a.mac(i.Type) {
		took = a.opts.Timing.MacStop
	}
	a.next(id, took.pick(a.random), func(now time.Time, i instance) {
		a.enter(id, now, cloud.Stopped, i.Reason)
		a.vacate(i, now)
	})
}

// StartInstance implements cloud.API.
func (c *Cloud) StartInstance(ctx context.Context, id string) error {
	_, err := ask(ctx, c, "StartInstances", func(now time.Time) (none struct{}, err error) {
		c.touch(id)
		i, err := c.known(id)
		if err != nil {
			return none, err
		}
		return none, c.start(i, now)
	})
	return err
}

func (a *account) start(i instance, now time.Time) error {
	switch i.State {
	case cloud.Running, cloud.Pending:
		return nil
	case cloud.Stopped:
	default:
		return cloud.NewError("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", i.ID)
	}
	t, _ := a.types.get(i.Type)
	if i.HostID != "" {
		if err := a.checkHost(i.HostID, t, i.Zone); err != nil {
			return err
		}
	}
	if err := a.checkQuota(t, i.market()); err != nil {
		return err
	}
	if err := a.checkCapacity(i.Type, i.Zone, i.market()); err != nil {
		return err
	}
	if err := a.admitResources(now, 1); err != nil {
		return err
	}
	a.instances.change(i.ID, now, func(i *instance) {
		i.LaunchTime = now.UTC().Truncate(time.Second)
		if i.sleeps {
			i.resumes++
		} else {
			i.boots++
		}
		i.sleeps = false
	})
	a.enter(i.ID, now, cloud.Pending, cloud.StateReason{})
	if i.HostID != "" {
		a.occupy(i.HostID, i.ID, now)
	}
	a.started(i.ID, cloud.StateReason{})
	return nil
}

// TerminateInstances implements cloud.API.
func (c *Cloud) TerminateInstances(ctx context.Context, ids []string) error {
	return each(c, ids, func(ids []string) error {
		_, err := ask(ctx, c, "TerminateInstances", func(now time.Time) (struct{}, error) {
			return struct{}{}, c.terminate(ids, now)
		})
		return err
	})
}

// terminate ends all of the instances or, if one is unknown, none.
func (c *Cloud) terminate(ids []string, now time.Time) error {
	c.touch(ids...)
	if len(ids) == 0 {
		return cloud.NewError("InvalidParameterCombination", "No instances specified")
	}
	var unknown []string
	for _, id := range ids {
		if !strings.HasPrefix(id, "i-") {
			return cloud.NewError("InvalidInstanceID.Malformed", "Invalid id: \"%s\"", id)
		}
		if !c.instances.known(c.account, id) {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) == 1 {
		return cloud.NewError("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", unknown[0])
	}
	if len(unknown) > 1 {
		return cloud.NewError("InvalidInstanceID.NotFound", "The instance IDs '%s' do not exist", strings.Join(unknown, ", "))
	}
	if err := c.admitResources(now, len(ids)); err != nil {
		return err
	}
	for _, id := range ids {
		if i, _ := c.instances.get(id); !cloud.Gone(i.State) {
			c.end(id, now, byUser())
		}
	}
	return nil
}

// end begins to end an instance.
func (a *account) end(id string, now time.Time, why cloud.StateReason) {
	before, _ := a.instances.get(id)
	a.instances.change(id, now, func(i *instance) { i.sleeps = false })
	a.enter(id, now, cloud.ShuttingDown, why)
	a.endSpot(before, now, why)
	took := a.opts.Timing.Terminate
	if a.mac(before.Type) {
		took = a.opts.Timing.MacTerminate
	}
	if before.State == cloud.Stopped {
		took = Range{}
	}
	a.next(id, took.pick(a.random), func(now time.Time, i instance) {
		a.enter(id, now, cloud.Terminated, why)
		a.detach(i, now)
		a.freeAddress(i.SubnetID, i.PrivateIP, now)
		if before.State != cloud.Stopped {
			a.vacate(i, now)
		}
		a.gone(id, now)
		a.forgetToken(id)
		a.plan(a.opts.Timing.Listed.pick(a.random), func(now time.Time) { a.instances.remove(id, now) })
	})
}

// ShutDown is the machine that shuts itself down from within: it ends, or only
// stops, as its launch said.
func (c *Cloud) ShutDown(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	i, found := c.instances.get(id)
	if !found || i.State != cloud.Running {
		return
	}
	why := cloud.StateReason{Code: "Client.InstanceInitiatedShutdown", Message: "Client.InstanceInitiatedShutdown: Instance initiated shutdown"}
	if i.launch.ShutdownTerminates || i.Spot {
		c.end(id, now, why)
		return
	}
	c.halt(id, now, why, false)
}

// End is AWS that ends an instance, for a reason such as "Server.InternalError".
func (c *Cloud) End(id, code, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	if i, found := c.instances.get(id); found && !cloud.Gone(i.State) {
		c.end(id, now, cloud.StateReason{Code: code, Message: message})
	}
}
