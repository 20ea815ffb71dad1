//go:build linux

package cluster

import (
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMain(m *testing.M) { fish.Main(m) }
