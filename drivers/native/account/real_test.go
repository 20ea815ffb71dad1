package account

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	a, err := New(t.Context(), Options{Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	s := time.Now()
	u, err := a.Ensure(t.Context(), "fish-abcdef", "/tmp/fish-abcdef", []string{"games", "users"})
	t.Log(u, err, time.Since(s))
	c := exec.Command("sh", "-c", "setsid sleep 1000 & sleep 1000")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}}
	t.Log(c.Start())
	go c.Wait()
	l, err := a.List(t.Context())
	t.Log(l, err)
	s = time.Now()
	t.Log(a.KillAll(t.Context(), "fish-abcdef"), time.Since(s))
	t.Log(a.Remove(t.Context(), "fish-abcdef"))
	s = time.Now()
	u, err = a.Ensure(t.Context(), "fish-abcdef", "/tmp/fish-abcdef", nil)
	t.Log(u, err, time.Since(s))
	t.Log(a.Remove(t.Context(), "fish-abcdef"))
	t.Log(a.Remove(t.Context(), "fish-abcdef"))
	t.Log(a.Lookup(t.Context(), "fish-abcdef"))
}
