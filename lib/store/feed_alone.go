package store

// Feed is a change feed on its own, for who keeps nouns elsewhere than in a
// Store, as the databases of simulations do. Make it with NewFeed.
type Feed struct{ feed *feed }

// NewFeed returns a feed without subscriptions.
func NewFeed() Feed { return Feed{feed: newFeed()} }

// Subscribe is as Store.Subscribe.
func (f Feed) Subscribe(kinds ...Kind) *Subscription { return f.feed.subscribe(kinds) }

// Publish tells every subscription that something changed.
func (f Feed) Publish(keys ...Key) { f.feed.publish(keys, false) }
