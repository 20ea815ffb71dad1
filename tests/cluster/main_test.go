//go:build linux

package cluster

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// atOnce is how many farms there are at a time, unless -parallel says another
// number. They mostly wait, so two cores bear four.
const atOnce = "4"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil { // before the command line is read
		fmt.Fprintln(os.Stderr, "set -parallel:", err)
		os.Exit(1)
	}
	fish.Main(m)
}
