package fakeec2

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// promise is what a client token was used for.
type promise struct {
	request any
	id      string
}

// tokensKept is how long AWS remembers a token at least after the end of what
// was made with it.
const tokensKept = 24 * time.Hour

// use is a client token in its scope: a kind of things, in a zone or the region.
type use struct{ kind, scope, token string }

// replay finds what the token made before. The service does without a token; a
// client that keeps cloud.API sends none without.
func (a *account) replay(u use, request any) (id string, err error) {
	if u.token == "" && !a.asked.strict {
		return "", cloud.NewError("MissingParameter", "a client token is missing")
	}
	a.token = u.token
	p, used := a.tokens[u]
	if !used {
		return "", nil
	}
	if !reflect.DeepEqual(p.request, request) {
		return "", cloud.NewError("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in "+
			"previous request(s).")
	}
	return p.id, nil
}

// promised remembers what a token was used for.
func (a *account) promised(u use, request any, id string) {
	if u.token != "" {
		a.tokens[u] = promise{request: request, id: id}
		a.tokenOf[id] = u
	}
}

// forgetToken lets the token of what is gone be used again, much later.
func (a *account) forgetToken(id string) {
	u, used := a.tokenOf[id]
	if !used {
		return
	}
	delete(a.tokenOf, id)
	a.plan(tokensKept, func(time.Time) { delete(a.tokens, u) })
}

// RunInstance implements cloud.API.
func (c *Cloud) RunInstance(ctx context.Context, l cloud.Launch) (cloud.Instance, error) {
	l = copyLaunch(l)
	return ask(ctx, c, "RunInstances", func(now time.Time) (cloud.Instance, error) {
		i, err := c.launch(l, now)
		if err != nil {
			return cloud.Instance{}, err
		}
		c.touch(i.ID)
		return i.show(now), nil
	})
}

// copyLaunch takes a request as its bytes: what is empty is not there.
func copyLaunch(l cloud.Launch) cloud.Launch {
	l.SecurityGroupIDs = append([]string(nil), l.SecurityGroupIDs...)
	l.UserData = append([]byte(nil), l.UserData...)
	l.Disks = append([]cloud.Disk(nil), l.Disks...)
	l.Tags = copyTags(l.Tags)
	return l
}

// launch starts an instance, or finds the one of the token.
func (a *account) launch(l cloud.Launch, now time.Time) (instance, error) {
	if len(l.ClientToken) > 64 {
		return instance{}, cloud.NewError("InvalidParameterValue", "Length of ClientToken must be at most 64")
	}
	net, err := a.subnetFor(l)
	if err != nil {
		return instance{}, err
	}
	scope := net.Zone // idempotency is of the zone where the request names one, and else of the region
	if l.SubnetID == "" {
		scope = a.opts.Region
	}
	u := use{"instance", scope, l.ClientToken}
	if id, err := a.replay(u, l); err != nil || id != "" {
		return a.relaunched(id, err)
	}
	t, err := a.checkLaunch(l, net)
	if err != nil {
		return instance{}, err
	}
	disks, err := a.planDisks(l, t)
	if err != nil {
		return instance{}, err
	}
	if err := a.checkRoom(l, t, net); err != nil {
		return instance{}, err
	}
	if err := a.admitResources(now, 1); err != nil {
		return instance{}, err
	}
	i := a.build(l, t, net, disks, now)
	a.promised(u, l, i.ID)
	return i, nil
}

// relaunched answers a request that was made before.
func (a *account) relaunched(id string, err error) (instance, error) {
	if err != nil {
		return instance{}, err
	}
	i, found := a.instances.get(id)
	if !found || cloud.Gone(i.State) {
		return instance{}, cloud.NewError("IdempotentInstanceTerminated",
			"The client token you have provided is associated with a terminated instance. Please use a different client token.")
	}
	return i, nil
}

// build makes the instance, when nothing is against it any more.
func (a *account) build(l cloud.Launch, t cloud.InstanceType, net subnet, disks []planned, now time.Time) instance {
	image, _ := a.images.get(l.ImageID)
	i := instance{
		Instance: cloud.Instance{
			ID: a.newID("i"), Type: t.Name, State: cloud.Pending, Reason: cloud.StateReason{Code: "pending", Message: "pending"},
			ImageID: l.ImageID, LaunchTime: now.UTC().Truncate(time.Second), ClientToken: l.ClientToken, Tags: copyTags(l.Tags),
			Zone: net.Zone, VPCID: net.VPCID, SubnetID: net.ID, HostID: l.HostID, Spot: l.Spot, Hibernates: l.Hibernate,
			RootDevice: image.RootDevice, VCPUs: t.VCPUs, Volumes: map[string]string{},
		},
		launch: l, who: a.asked.Who, since: now, boots: 1, addressed: now.Add(a.opts.Timing.Address.pick(a.random)),
	}
	i.PrivateIP = a.takeAddress(net.ID, now)
	i.MAC = fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", a.random.IntN(256), a.random.IntN(256), a.random.IntN(256), a.random.IntN(256), a.random.IntN(256))
	if net.public {
		i.PublicIP = a.publicAddress()
	}
	a.open("instance", i.ID, t.Name, a.rate(i), false)
	for _, d := range disks {
		i.Volumes[d.Device] = a.makeVolume(d, i, now)
	}
	if l.Spot {
		i.SpotRequestID = a.makeSpot(i, now)
	}
	a.instances.put(i.ID, now, i)
	if l.HostID != "" {
		a.occupy(l.HostID, i.ID, now)
	}
	a.started(i.ID, a.launchFailure(disks))
	return i
}

// started plans what becomes of a launch.
func (a *account) started(id string, failure cloud.StateReason) {
	a.next(id, a.opts.Timing.Launch.pick(a.random), func(now time.Time, _ instance) {
		if failure.Code != "" {
			a.end(id, now, failure)
			return
		}
		ready := now.Add(a.opts.Timing.Boot.pick(a.random))
		a.instances.change(id, now, func(i *instance) { i.ready = ready })
		a.enter(id, now, cloud.Running, cloud.StateReason{})
	})
}

// rate is what an instance costs while it runs: on a host nothing.
func (a *account) rate(i instance) float64 {
	switch i.market() {
	case Dedicated:
		return 0
	case Spot:
		if price, set := a.spotPrice[slot{i.Zone, i.Type, Spot}]; set {
			return price
		}
		return a.prices[i.Type] * spotShare
	}
	return a.prices[i.Type]
}
