package fakeec2

import (
	"maps"
	"strings"
	"time"
)

// Bucket limits requests: so many at once, and so many more per second.
type Bucket struct{ Size, PerSecond float64 }

// bucket is a Bucket with what is left in it.
type bucket struct {
	Bucket
	left float64
	at   time.Time
}

// AWSBuckets are EC2's limits by action, as its documentation has them: for
// others see class.
func AWSBuckets() map[string]Bucket {
	return map[string]Bucket{
		"RunInstances": {5, 2}, "StartInstances": {5, 2}, "TerminateInstances": {100, 5},
		"CreateSnapshots": {100, 5}, "DeregisterImage": {100, 5}, "DeleteSnapshot": {100, 5},
		"CreateTags": {100, 10}, "CopyImage": {100, 1},
	}
}

// class is the limit of an action that has none of its own.
func class(action string, unpaged bool) (b Bucket, limited bool) {
	switch {
	case action == "GetCallerIdentity" || action == "DescribeKey":
		return Bucket{}, false // hundreds a second: not what anybody meets
	case strings.HasSuffix(action, "ServiceQuotas"):
		return Bucket{10, 10}, true // not documented with EC2's; low to be on the safe side
	case strings.HasPrefix(action, "Describe") && unpaged:
		return Bucket{50, 10}, true
	case strings.HasPrefix(action, "Describe"):
		return Bucket{100, 20}, true
	}
	return Bucket{50, 5}, true
}

// resources are EC2's limits of how many things, and not requests, actions touch.
func resources() map[string]Bucket {
	return map[string]Bucket{
		"RunInstances": {1000, 2}, "StartInstances": {1000, 2}, "StopInstances": {1000, 20}, "TerminateInstances": {1000, 20},
	}
}

// admitResources takes so many things out of the action's second bucket.
func (a *account) admitResources(now time.Time, things int) error {
	limit, limited := resources()[a.asked.Action]
	if !limited || a.opts.Unthrottled {
		return nil
	}
	key := a.asked.Action + " resources"
	if a.buckets[key] == nil {
		a.buckets[key] = &bucket{Bucket: limit, left: limit.Size, at: now}
	}
	if !a.buckets[key].take(now, things) {
		return errThrottled()
	}
	return nil
}

// admit takes so many requests out of the action's bucket, if they are in it.
func (a *account) admit(action string, now time.Time, requests int) bool {
	if a.opts.Unthrottled {
		return true
	}
	b := a.buckets[action]
	if b == nil {
		limits := AWSBuckets()
		maps.Copy(limits, a.opts.Buckets)
		limit, named := limits[action]
		if !named {
			var limited bool
			if limit, limited = class(action, a.opts.PageSize < 0); !limited {
				return true
			}
		}
		b = &bucket{Bucket: limit, left: limit.Size, at: now}
		a.buckets[action] = b
	}
	return b.take(now, requests)
}

func (b *bucket) take(now time.Time, n int) bool {
	b.left = min(b.Size, b.left+now.Sub(b.at).Seconds()*b.PerSecond)
	b.at = now
	if b.left < float64(n) {
		return false
	}
	b.left -= float64(n)
	return true
}
