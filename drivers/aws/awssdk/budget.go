package awssdk

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/time/rate"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// share is how much of what AWS allows we use by default: the account may have other
// users, and the other nodes of a cluster are some of them.
const share = 0.5

// budget is a token bucket for each action, as AWS has one. So we wait here,
// in order and with a deadline, rather than be refused there.
type budget struct {
	share float64

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

func newBudget(share float64) *budget {
	return &budget{share: share, buckets: map[string]*rate.Limiter{}}
}

func (b *budget) bucket(action string) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.buckets[action]
	if l == nil {
		limit := cloud.LimitOf(action)
		l = rate.NewLimiter(rate.Limit(limit.PerSecond*b.share), max(1, int(float64(limit.Burst)*b.share)))
		b.buckets[action] = l
	}
	return l
}

// wait returns when it is the turn of a request, or with the error of the
// context if that would end before.
func (b *budget) wait(ctx context.Context, action string) error {
	err := b.bucket(action).Wait(ctx)
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return fmt.Errorf("too many requests wait for their turn: %w", context.DeadlineExceeded)
}
