package native

import (
	"os"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/native/keeper"
)

// TestMain lets the test binary be the keepers of what it starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == keeper.Command {
		os.Exit(keeper.Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}
