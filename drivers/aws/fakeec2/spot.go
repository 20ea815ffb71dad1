package fakeec2

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// spot is a request of a spot instance.
type spot struct{ cloud.SpotRequest }

// makeSpot makes the request that a spot instance comes from.
func (a *account) makeSpot(i instance, now time.Time) (id string) {
	s := spot{cloud.SpotRequest{ID: a.newID("sir"), InstanceID: i.ID, State: "active", Status: "fulfilled", Tags: copyTags(i.Tags)}}
	a.spots.put(s.ID, now, s)
	a.open("spot-request", s.ID, "", 0, true)
	return s.ID
}

// endSpot is what the end of an instance means for its request.
func (a *account) endSpot(i instance, now time.Time, why cloud.StateReason) {
	s, found := a.spots.get(i.SpotRequestID)
	if !found || s.State != "active" {
		return
	}
	a.spots.change(s.ID, now, func(s *spot) {
		s.State = "closed"
		switch {
		case s.Status == statusMarked: // Interrupt has a better word at the end
		case why.Code == byUser().Code:
			s.Status = "instance-terminated-by-user"
		default:
			s.Status = "instance-terminated-by-service"
		}
	})
	a.gone(s.ID, now)
	a.plan(a.opts.Timing.Listed.pick(a.random), func(now time.Time) { a.spots.remove(s.ID, now) })
}

// statusMarked is the status between the notice of an interruption and the end.
const statusMarked = "marked-for-termination"

// Interrupt takes a spot instance back for a reason such as "no-capacity" or
// "by-price", as the request's status names it at the end: notice now, the end
// after the notice.
func (c *Cloud) Interrupt(id, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	i, found := c.instances.get(id)
	if !found || !i.Spot || cloud.Gone(i.State) {
		return
	}
	c.happened(now, "interruption-notice", id)
	c.spots.change(i.SpotRequestID, now, func(s *spot) { s.Status = statusMarked })
	c.plan(c.opts.Timing.Notice.pick(c.random), func(now time.Time) {
		i, found := c.instances.get(id)
		if !found || cloud.Gone(i.State) {
			return
		}
		c.end(id, now, cloud.StateReason{Code: "Server.SpotInstanceTermination", Message: "Server.SpotInstanceTermination: Spot instance termination"})
		c.spots.change(i.SpotRequestID, now, func(s *spot) { s.Status = "instance-terminated-" + reason })
	})
}

// SpotRequests implements cloud.API.
func (c *Cloud) SpotRequests(ctx context.Context, q cloud.Query) ([]cloud.SpotRequest, error) {
	return ask(ctx, c, "DescribeSpotInstanceRequests", func(time.Time) ([]cloud.SpotRequest, error) {
		return list(c.account, q, &c.spots, withTags(fields[spot]{
			"spot-instance-request-id": func(s spot) []string { return one(s.ID) },
			"instance-id":              func(s spot) []string { return one(s.InstanceID) },
			"state":                    func(s spot) []string { return one(s.State) },
			"status-code":              func(s spot) []string { return one(s.Status) },
			"type":                     func(spot) []string { return one("one-time") },
		}, func(s spot) cloud.Tags { return s.Tags }), func(s spot) (cloud.SpotRequest, bool) {
			shown := s.SpotRequest
			shown.Tags = copyTags(s.Tags)
			return shown, true
		})
	})
}

// CancelSpotRequests implements cloud.API. An instance that a request started
// runs on.
func (c *Cloud) CancelSpotRequests(ctx context.Context, ids []string) error {
	return each(c, ids, func(ids []string) error {
		_, err := ask(ctx, c, "CancelSpotInstanceRequests", func(now time.Time) (struct{}, error) {
			return struct{}{}, c.cancelSpots(ids, now)
		})
		return err
	})
}

func (a *account) cancelSpots(ids []string, now time.Time) error {
	a.touch(ids...)
	for _, id := range ids {
		if !a.spots.known(a, id) {
			return cloud.NewError("InvalidSpotInstanceRequestID.NotFound", "The spot instance request ID '%s' does not exist", id)
		}
	}
	for _, id := range ids {
		if s, _ := a.spots.get(id); s.State == "active" {
			a.spots.change(id, now, func(s *spot) { s.State, s.Status = "cancelled", "request-canceled-and-instance-running" })
			a.gone(id, now)
		}
	}
	return nil
}
