package cloudtest

import "testing"

func TestFake(t *testing.T) {
	Run(t, Harness{
		New:      func(t *testing.T) Fixture { return Fake(t) },
		Parallel: true,
		Differs: map[string]string{
			"terminate: one that is unknown spares no other": "it is EC2 itself, which fails the whole request; its client has to part it",
		},
	})
}
