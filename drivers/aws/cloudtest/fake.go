package cloudtest

import (
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// clock is one that is turned by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Fake is an account of package fakeec2, and what is in it. Its clock is turned
// by Fixture.Pass alone.
func Fake(t testing.TB) Fixture {
	t.Helper()
	c := &clock{now: time.Now()}
	f := Fixture{Type: "t3.micro", MacType: "mac2.metal", Key: "alias/ci", Pass: c.pass}
	account := fakeec2.New(fakeec2.Options{Now: c.read, Seed: 1, Unthrottled: true})
	f.API = account
	account.SetQuota("L-5D8DADF5", 2) // hosts of mac2
	account.SetQuota("L-1216C47A", 640)
	account.SetQuota("L-34B43A08", 640)
	account.AddKey(f.Key)
	if err := f.FindNetwork(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Image = account.AddImage(fakeec2.ImageSpec{Name: "of-the-test"})
	f.MacImage = account.AddImage(fakeec2.ImageSpec{Name: "mac-of-the-test", Architecture: "arm64_mac", SizeGB: 100})
	return f
}
