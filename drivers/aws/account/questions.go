package account

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// The paces of the topics. All together are a few questions a minute while
// nothing happens, and one a second at most while somebody waits: AWS gives
// 20 a second for each action.
const (
	leastPause = time.Second // between two of the same question

	transientPace = 3 * time.Second  // something of ours is about to change
	spotPace      = 10 * time.Second // spot instances are ended with two minutes' notice
	instancesPace = 30 * time.Second
	networksPace  = 30 * time.Second // others take addresses too
	usePace       = time.Minute
	hostsPace     = time.Minute
	// quotasPace is how long who had a quota raised waits at most: while nothing fits
	// nobody is refused, which would have it looked at.
	quotasPace = 10 * time.Minute
	// offersPace is for types: they do not change, but zones get more of them.
	offersPace = 6 * time.Hour

	// quotasRetry is longer than of others, because the permission for it may
	// well not be given.
	quotasRetry = 5 * time.Minute
	// hostsFor is how long after somebody asked hosts are looked at.
	hostsFor = 10 * time.Minute
	// typesAtOnce is how many names are looked up in one request. EC2 takes 100;
	// of as many misspelt ones all questions have to be answered in askTimeout.
	typesAtOnce = 50
	// valuesAtOnce is how many values a condition has; EC2 takes 200 in a request.
	valuesAtOnce = 150
	// silentFor is how long after its beginning a launch without an answer is
	// looked for among what has ended, too.
	silentFor = 10 * time.Second
)

func (a *Account) addTopics() {
	a.instances = newTopic("instances", a.instancesPace, a.askInstances)
	a.use = newTopic("use", always(usePace), a.askUse)
	a.networks = newTopic("networks", always(networksPace), a.askNetworks)
	a.instances.vital, a.use.vital, a.networks.vital = true, true, true
	a.quotas = newTopic("quotas", always(quotasPace), a.askQuotas)
	a.quotas.retry, a.quotas.least = quotasRetry, usePace
	a.types = newTopic("types", always(offersPace), a.askTypes)
	a.hosts = newTopic("hosts", always(hostsPace), a.askHosts)
	a.hosts.needed = a.hostsNeeded
}

type asking = func(context.Context) (func(*facts, time.Time), error)

func newTopic(name string, pace func() time.Duration, ask asking) *topic {
	return &topic{name: name, least: leastPause, pace: pace, ask: ask,
		kick: make(chan struct{}, 1), landed: make(chan struct{})}
}

func always(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// instancesPace is fast while something is about to happen. mu is held.
func (a *Account) instancesPace() time.Duration {
	pace := instancesPace
	for _, s := range a.facts.mine {
		switch {
		case s.transient() && s.State != cloud.ShuttingDown:
			return transientPace
		case s.Spot && s.Alive():
			pace = spotPace
		}
	}
	for _, h := range a.facts.holds {
		if !h.Host { // a list of instances does not show a host
			return transientPace
		}
	}
	return pace
}

// askInstances lists what is ours. What has ended is listed for an hour, which
// is most of a list where much comes and goes: so only the first list is of
// everything. Later ones leave out what ended, and what is missed is asked for
// by name.
func (a *Account) askInstances(ctx context.Context) (func(*facts, time.Time), error) {
	a.mu.Lock()
	first := a.facts.mineAsked.IsZero()
	missed := a.facts.missed(time.Now())
	a.mu.Unlock()
	ours := cloud.Where("tag:"+cloud.TagNode, a.node)
	query := ours
	if !first {
		query = query.And("instance-state-name", notTerminated()...)
	}
	list, err := a.api.Instances(ctx, query)
	if err != nil {
		return nil, err
	}
	for _, ask := range missed.not(list) {
		more, err := a.api.Instances(ctx, ours.And(ask.Name, ask.Values...))
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return func(f *facts, asked time.Time) { f.seeMine(list, asked) }, nil
}

// notTerminated are all states but that which an instance never leaves.
func notTerminated() []string {
	return []string{cloud.Pending, cloud.Running, cloud.Stopping, cloud.Stopped, cloud.ShuttingDown}
}

// wanted is what a list of instances should show, or it is asked for by name.
type wanted struct {
	ids    []string
	tokens []string // of launches of which nothing was heard for a while
}

// missed is what is known to be there, or may be. An instance that ended is
// not: nothing more happens to it.
func (f *facts) missed(now time.Time) (w wanted) {
	for id, s := range f.mine {
		if s.State != cloud.Terminated {
			w.ids = append(w.ids, id)
		}
	}
	for token, h := range f.holds {
		if !h.Host && now.Sub(h.since) > silentFor {
			w.tokens = append(w.tokens, token)
		}
	}
	return w
}

// not are the conditions for what is wanted and not in the list.
func (w wanted) not(list []cloud.Instance) (asks []cloud.Filter) {
	listed := make(map[string]bool, 2*len(list))
	for _, inst := range list {
		listed[inst.ID], listed[inst.Tags[cloud.TagToken]] = true, true
	}
	is := func(name string) bool { return listed[name] }
	for ids := range slices.Chunk(slices.DeleteFunc(w.ids, is), valuesAtOnce) {
		asks = append(asks, cloud.Filter{Name: "instance-id", Values: ids})
	}
	for tokens := range slices.Chunk(slices.DeleteFunc(w.tokens, is), valuesAtOnce) {
		asks = append(asks, cloud.Filter{Name: "tag:" + cloud.TagToken, Values: tokens})
	}
	return asks
}

func (a *Account) askUse(ctx context.Context) (func(*facts, time.Time), error) {
	list, err := a.api.Instances(ctx, cloud.Where("instance-state-name", notTerminated()...))
	return func(f *facts, asked time.Time) { f.use, f.useAsked = list, asked }, err
}

func (a *Account) askNetworks(ctx context.Context) (func(*facts, time.Time), error) {
	vpcs, err := a.api.VPCs(ctx, cloud.Query{})
	if err != nil {
		return nil, err
	}
	subnets, err := a.api.Subnets(ctx, cloud.Query{})
	return func(f *facts, asked time.Time) { f.vpcs, f.subnets, f.networksAsked = vpcs, subnets, asked }, err
}

func (a *Account) askQuotas(ctx context.Context) (func(*facts, time.Time), error) {
	quotas, err := a.api.Quotas(ctx)
	return func(f *facts, asked time.Time) { f.quotas, f.quotasAsked = quotas, asked }, err
}

// hostsNeeded reports whether anybody is interested in hosts. mu is held.
func (a *Account) hostsNeeded() bool {
	for m := range a.members {
		if len(m.pools) > 0 {
			return true
		}
	}
	return time.Now().Before(a.hostsTo)
}

func (a *Account) askHosts(ctx context.Context) (func(*facts, time.Time), error) {
	list, err := a.api.Hosts(ctx, cloud.Query{})
	return func(f *facts, asked time.Time) { f.seeHosts(list, asked) }, err
}

// askTypes looks up the types that are needed and not known; now and then
// those that are known once more.
func (a *Account) askTypes(ctx context.Context) (func(*facts, time.Time), error) {
	a.mu.Lock()
	names := a.facts.unknownTypes(a.asked)
	again := len(names) == 0 && !a.offersAsked.IsZero() && time.Since(a.offersAsked) >= offersPace
	if again {
		names = slices.Sorted(maps.Keys(a.facts.types))
	} else {
		names = names[:min(len(names), typesAtOnce)] // the next question is for the rest
	}
	a.mu.Unlock()
	found := map[string]cloud.InstanceType{}
	zones := map[string][]string{}
	for some := range slices.Chunk(names, typesAtOnce) {
		if err := a.lookUp(ctx, some, found, zones); err != nil {
			return nil, err
		}
	}
	return func(f *facts, asked time.Time) {
		f.learnTypes(names, found, zones)
		if again || a.offersAsked.IsZero() {
			a.offersAsked = asked
		}
		if again { // what does not exist may by now: whoever needs it asks again
			f.noSuch = nil
			clear(a.asked)
		}
	}, nil
}

// lookUp adds what there is to know of types. One name that does not exist
// fails a request for many: then each half of them is asked for.
func (a *Account) lookUp(ctx context.Context, names []string, found map[string]cloud.InstanceType, zones map[string][]string) error {
	infos, err := a.api.InstanceTypes(ctx, names)
	if cloud.IsKind(err, cloud.Refused, cloud.NotFound) {
		if len(names) == 1 {
			return nil // there is none
		}
		half := len(names) / 2
		if err := a.lookUp(ctx, names[:half], found, zones); err != nil {
			return err
		}
		return a.lookUp(ctx, names[half:], found, zones)
	}
	if err != nil || len(infos) == 0 {
		return err
	}
	var exist []string
	for _, info := range infos {
		exist = append(exist, info.Name)
	}
	offers, err := a.api.Offerings(ctx, exist)
	if err != nil {
		return err
	}
	for _, info := range infos {
		found[info.Name] = info
	}
	for _, o := range offers {
		zones[o.Type] = append(zones[o.Type], o.Zone)
	}
	return nil
}

// learnTypes takes what was found of those that were looked for.
func (f *facts) learnTypes(names []string, found map[string]cloud.InstanceType, zones map[string][]string) {
	types, noSuch, offered := maps.Clone(f.types), maps.Clone(f.noSuch), maps.Clone(f.zones)
	if types == nil {
		types, offered = map[string]cloud.InstanceType{}, map[string][]string{}
	}
	if noSuch == nil {
		noSuch = map[string]bool{}
	}
	for _, name := range names {
		info, exists := found[name]
		if !exists {
			noSuch[name] = true
			continue
		}
		types[name], offered[name] = info, zones[name]
		delete(noSuch, name)
	}
	f.types, f.noSuch, f.zones = types, noSuch, offered
}
