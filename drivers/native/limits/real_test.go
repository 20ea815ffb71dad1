package limits

import (
	"context"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	l := Detect(Options{})
	t.Log(l.Describe())
	p, err := l.Make("fish-aaaaaa", Limits{CPU: 1, RAM: 64 << 20, PIDs: 100})
	t.Log(p, err, l.List())
	ctx, c := context.WithTimeout(t.Context(), time.Second)
	defer c()
	t.Log(l.Kill(ctx, "fish-aaaaaa"), l.Remove(ctx, "fish-aaaaaa"), l.List())
}
