// Package aws is the driver `aws`: its environments are machines of EC2, on
// demand, spot, or on dedicated hosts such as Macs need them.
//
// All of it costs money, so what may have been made is known before it is made,
// is ours by its tags from its first moment, and is looked for until it is
// certain that it is gone. DESIGN.md tells how, and what is found after a kill at
// any point. The driver speaks to EC2 through cloud.API alone.
package aws

import (
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// Name is the driver's name in the config file and in labels.
const Name = "aws"

// check reads a cfg and makes nothing.
func check(cfg drivers.Config) ([]yamlconf.Problem, error) {
	_, unknown, err := readSettings(cfg.Cfg)
	return unknown, err
}

// shares are the pools: nodes that name the same one in the same region mean
// the same hosts, whatever their instances are called.
func shares(cfg drivers.Config) ([]drivers.Share, error) {
	s, _, err := readSettings(cfg.Cfg)
	if err != nil {
		return nil, err
	}
	var all []drivers.Share
	for _, pool := range slices.Sorted(maps.Keys(s.DedicatedPool)) {
		all = append(all, drivers.Share{Thing: poolThing(s.Region, pool), Owner: s.PoolOwner})
	}
	return all, nil
}

// poolThing is what a pool is called among nodes.
func poolThing(region, pool string) string { return Name + "/" + region + "/" + pool }

// lifetime is how long environments live whose definition says nothing.
func lifetime(cfg drivers.Config) (time.Duration, bool) {
	s, _, err := readSettings(cfg.Cfg)
	return max(s.DefaultLifetime, 0), err == nil // negative: for ever
}

// driver is one instance.
type driver struct{}
