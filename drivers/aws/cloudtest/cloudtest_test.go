package cloudtest

import "testing"

func TestFake(t *testing.T) {
	Run(t, Harness{
		New:      func(t *testing.T) Fixture { return Fake(t) },
		Parallel: true,
	})
}
