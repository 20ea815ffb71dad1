//go:build linux

// Package proxy has people and builds use the proxies of the real binary, with
// the programs that they use: OpenSSH, curl, git.
package proxy

import (
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func TestMain(m *testing.M) { fish.Main(m, prepareAccount) }
