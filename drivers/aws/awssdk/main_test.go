package awssdk

import (
	"os"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloudtest"
)

func TestMain(m *testing.M) {
	cloudtest.Clean()
	os.Exit(m.Run())
}
