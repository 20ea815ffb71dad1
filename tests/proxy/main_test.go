//go:build linux

// Package proxy has people and builds use the proxies of the real binary, with
// the programs that they use: OpenSSH, curl, git.
package proxy

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// atOnce is how many tests run at a time, unless -parallel says another number. Many of them mostly wait, so two cores
// bear four.
const atOnce = "4"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil { // before the command line is read
		fmt.Fprintln(os.Stderr, "set -parallel:", err)
		os.Exit(1)
	}
	fish.Main(m, prepareAccount)
}
