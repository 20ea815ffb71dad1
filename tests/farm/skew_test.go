package farm

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestSkew: a node whose clock is wrong says so in what it writes, and follows
// when it jumps.
func TestSkew(t *testing.T) {
	needs.All(t, "compiles the node anew")
	skew := NewSkew(t)
	skew.Set(-90 * time.Minute)
	n := fish.Start(t, fish.Options{Binary: SkewedBinary(t), Env: []string{skew.Env()}, Config: "drivers: [{name: test}]\n"})
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	for _, want := range []time.Duration{-90 * time.Minute, 10 * time.Minute, 0} {
		skew.Set(want)
		created, err := time.Parse(time.RFC3339Nano, n.State(n.CreateApplication(label, `{}`)).CreatedAt)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(created) - want; off < -time.Minute || off > time.Minute {
			t.Errorf("with a clock off by %v an application is made at %v", want, created)
		}
	}
}
