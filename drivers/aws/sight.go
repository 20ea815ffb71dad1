package aws

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// sight is what lists show of the machines of this node's instance: those of
// pools and tasks too.
type sight struct {
	asked time.Time // when the newest list was asked for
	byID  map[string]account.Sighting
}

// look waits for a list that was asked for after a time. All that wait share
// one request.
func (d *driver) look(ctx context.Context, since time.Time) (sight, error) {
	if err := d.member.Fresh(ctx, since); err != nil {
		return sight{}, err
	}
	list, asked := d.member.Instances()
	s := sight{asked: asked, byID: make(map[string]account.Sighting, len(list))}
	for _, one := range list {
		s.byID[one.ID] = one
	}
	return s, nil
}

// of are the environments' machines of a token, oldest first.
func (s sight) of(token string) (list []account.Sighting) {
	for _, one := range s.byID {
		if token != "" && one.Tags[cloud.TagToken] == token && one.Work() {
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b account.Sighting) int {
		return cmp.Or(a.LaunchTime.Compare(b.LaunchTime), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// living is the oldest machine of a token that is not gone.
func (s sight) living(token string) (cloud.Instance, bool) {
	for _, one := range s.of(token) {
		if one.Alive() {
			return one.Instance, true
		}
	}
	return cloud.Instance{}, false
}

func (s sight) byClientToken(token string) (cloud.Instance, bool) {
	for _, one := range s.byID {
		if one.ClientToken == token {
			return one.Instance, true
		}
	}
	return cloud.Instance{}, false
}

// absences remembers since when machines that should be there are not listed.
type absences struct {
	mu    sync.Mutex
	since map[string]time.Time // by id, the first list without it
}

// of is how long a machine has not been listed. Lists lag behind, so that only
// what is missing for longer than cloud.Settled is gone.
func (a *absences) of(id string, s sight) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	one, known := s.byID[id]
	if known && one.Missing.IsZero() {
		delete(a.since, id)
		return 0
	}
	first, absent := a.since[id]
	if !absent {
		first = s.asked
		if known {
			first = one.Missing
		}
		if a.since == nil {
			a.since = map[string]time.Time{}
		}
		a.since[id] = first
	}
	return s.asked.Sub(first)
}

// forget is for what nobody waits for any more.
func (a *absences) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.since, id)
}
