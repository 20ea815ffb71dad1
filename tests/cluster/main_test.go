//go:build linux

// Package cluster runs farms of real nodes through everything that happens to
// them, in network name spaces that it makes: what is between the nodes is cut,
// slow and full of holes, nodes are killed, stopped and out of disk, clocks,
// keys, certificates and databases are wrong. After each, every application
// has ended, was executed once and on one node, all nodes show the same, and
// nothing is left running.
package cluster

import (
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMain(m *testing.M) { fish.Main(m) }
