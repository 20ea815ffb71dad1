package aws

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// atOnce is how many tests run at a time, unless -parallel says another number.
// Their nodes mostly wait for an account in which all takes a moment.
const atOnce = "6"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil { // before the command line is read
		fmt.Fprintln(os.Stderr, "set -parallel:", err)
		os.Exit(1)
	}
	fish.Main(m)
}
