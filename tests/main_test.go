// Package tests runs the real binary and talks to it as its clients do.
package tests

import (
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMain(m *testing.M) { fish.Main(m) }
