package drivers

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Share is a thing outside that several nodes are configured for and only one
// of them may handle at a time: a pool of a cloud, a sweeper. Nodes name the same thing
// alike, whatever their instances are called.
type Share struct {
	Thing string // "<driver>/<what>", of the characters of an instance's name and "/"
	// Owner is the name of the node that is to own it; empty: the lowest UID of
	// those that are configured for it.
	Owner string
}

// OwnerOf says which node owns a shared thing now, also one that this node is not
// configured for any more: NilUID while nobody does, or nobody knows. Who is not the owner neither takes from the thing nor removes
// anything in it, also while the owner can not be reached. It answers from
// memory, and the answer may change at any time.
type OwnerOf func(thing string) model.UID

// Shares are the things that the instances are configured for together with
// other nodes, each once. It follows from the configuration: an instance that
// is not ready has its shares all the same. What is wrong with an instance's
// shares keeps it from being made, see Factory.Shares.
func (r *Registry) Shares() []Share {
	var all []Share
	seen := map[string]bool{}
	for _, inst := range r.instances {
		shares, err := inst.shares()
		if err != nil {
			continue // New tells
		}
		for _, s := range shares {
			if !seen[s.Thing] {
				seen[s.Thing] = true
				all = append(all, s)
			}
		}
	}
	return all
}

// SharesKnown is false if the shares of an instance could not be read: what it is
// configured for may be missing in Shares, until its configuration is mended.
func (r *Registry) SharesKnown() bool {
	return !slices.ContainsFunc(r.instances, func(inst *instance) bool {
		_, err := inst.shares()
		return err != nil
	})
}

// Answerer is the instance that answers questions about a shared thing: the first
// by name of those that are configured for it, so that it is always the same
// one. absent says why there is none now, and begins with its name where it has one.
func (r *Registry) Answerer(thing string) (name string, a Answerer, absent string) {
	for _, inst := range r.instances {
		shares, err := inst.shares()
		if err != nil || !slices.ContainsFunc(shares, func(s Share) bool { return s.Thing == thing }) {
			continue
		}
		name = inst.config.Instance
		driver, ok := r.Get(name)
		if !ok {
			return name, nil, "driver " + name + " " + r.Reason(name)
		}
		a, ok := driver.(Answerer)
		if !ok {
			return name, nil, "driver " + name + " answers no questions"
		}
		return name, a, ""
	}
	return "", nil, "no driver instance is configured for it"
}

var errShare = errors.New(`want "<driver>/<name>" of letters, digits, "_", "." and "-"`)

// readShares reads the instance's, and checks them. Its config never changes, so
// that it is done once.
func (i *instance) readShares() ([]Share, error) {
	if i.factory.Shares == nil {
		return nil, nil
	}
	shares, err := i.factory.Shares(i.config)
	if err != nil {
		return nil, err
	}
	thing := regexp.MustCompile(`^` + regexp.QuoteMeta(i.factory.Name) + `(/` + namePart + `)+$`)
	for _, s := range shares {
		if !thing.MatchString(s.Thing) {
			return nil, fmt.Errorf("shared thing %q: %w", s.Thing, errShare)
		}
	}
	return shares, nil
}
